"""`sequences`: one training-ready example: an instruction joined with its tokens and its text ids.

Written by  tokens_to_sequences
Read by     sequences_to_checkpoint, checkpoint_to_scores

Text and audio lie in two flat columns; `segments` says in which order they are laid out on the grid [S, 9], which the loader makes.
`vocabulary` (JSON) and `vocabulary_fingerprint` stand in the shard's schema metadata, as does `codec_fingerprint`.

One row:
    {"sequence_id": "a3…", "task": "asr", "mixture": "asr", "split": "train", "corpus": "queen",
     "segments": [{"kind": "text", "start": 0, "length": 31, "loss": False}, {"kind": "audio", "start": 0, "length": 17, "loss": False}, …],
     "audio_ids": [[64, 64, …], [12, 3, …], …], "text_ids": [1, 84, …], "clip_ids": ["5f1c…"]}
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from uniaudio_schemas.kinds.ids import ClipId, ExampleId
from uniaudio_schemas.kinds.record import Codes, TextIds, schema

TRAIN_STATISTIC = "train/"
"""Prefix of the statistic that counts a shard's training examples of a mixture group; the group's name follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceSegment:
    kind: str
    """`text` (one id a position) or `audio` (one frame of 8 ids a position)."""
    start: int
    """First element in `text_ids` or `audio_ids`."""
    length: int
    loss: bool


@schema("sequences", version=1, id_field="sequence_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    sequence_id: ExampleId
    """The instruction's id."""
    task: str
    mixture: str
    split: str
    corpus: str
    segments: list[SequenceSegment]
    audio_ids: Codes
    """`[A, 8]` int16, combined ids (reasoning and reconstruction share a stream's range; specials and offsets applied)."""
    text_ids: TextIds
    """int32."""
    clip_ids: list[ClipId] = field(default_factory=list)


def train_statistics(rows: Iterable[Sequence]) -> dict[str, float]:
    """`train/<mixture>` -> training examples: the statistics of a shard by which a stage knows what it can draw from."""
    counts = Counter(row.mixture for row in rows if row.split == "train")
    return {f"{TRAIN_STATISTIC}{mixture}": float(count) for mixture, count in sorted(counts.items())}
