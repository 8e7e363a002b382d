"""`checkpoint`: one model at the end of one stage; a version holds one row.

Written by  sequences_to_checkpoint
Read by     sequences_to_checkpoint (the next stage), checkpoint_to_scores, checkpoint_to_service

One row:
    {"checkpoint_id": "d0…", "stage": "stage1", "size": "debug", "step": 60, "parent": "b7…", "weights": "31…", "config": "{…}",
     "vocabulary_fingerprint": "0c…", "codec_fingerprint": "c81f…", "sequences": "content id", "data_position": 480,
     "ledger": [{"mixture": "asr", "num_examples": 61, "num_loss_tokens": 3904}], "metrics": [{"phase": "stage1", "step": 0, …}]}
"""

from dataclasses import dataclass, field

from uniaudio_schemas.kinds.codec import Metric
from uniaudio_schemas.kinds.ids import Blob, CheckpointId, CodecId, Digest, SequencesVersion
from uniaudio_schemas.kinds.record import schema

TASK_STATISTIC = "trained_task/"
"""Prefix of the statistic of a task that the stage was trained on at least one example of; the task's name follows. The ledger tells
mixture groups, which several tasks may share."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEntry:
    """What one mixture group really contributed."""

    mixture: str
    num_examples: int
    num_loss_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutLoss:
    """Mean loss (nats) a token on held-out sequences of one task, at the stage's start and end, beside what chance gives.

    Codes are rated over the legal codes, and special ids, which follow from the format, are left out. Rows of version 1, whose
    `uniform` and `unigram` are null, were rated over all ids, special ones included.
    """

    task: str
    before: float
    after: float
    num_sequences: int
    low: float | None = None
    """`low` to `high` is the 95 % interval of `after` over recordings; null for a single one."""
    high: float | None = None
    uniform: float | None = None
    """Loss of knowing which text ids and which codes there are."""
    unigram: float | None = None
    """Loss of knowing how often each text id, and each code of each stream, occurs in training examples of the task."""

    @property
    def chance(self) -> float | None:
        """The lower of `uniform` and `unigram`: a unigram of few examples is worse than knowing nothing."""
        return None if self.uniform is None or self.unigram is None else min(self.uniform, self.unigram)

    @property
    def beside_chance(self) -> str:
        """`better` where `after` is below chance, else `equal` or `worse`; empty where chance is not known."""
        if self.chance is None:
            return ""
        if self.after == self.chance:
            return "equal"
        return "better" if self.after < self.chance else "worse"


@schema("checkpoint", version=2, id_field="checkpoint_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    checkpoint_id: CheckpointId
    """First 32 hex digits of sha256(config, stage, every tensor's name, dtype, shape and bytes)."""
    stage: str
    """`text_warmup`, `stage1` … `stage4`."""
    size: str
    step: int
    """Optimizer steps of this stage."""
    parent: CheckpointId | None
    """`checkpoint_id` of the stage before; None for the first."""
    weights: Blob
    """Blob (sha256) of the safetensors file."""
    config: str
    """JSON: model config, stage config, vocabulary."""
    vocabulary_fingerprint: Digest
    codec_fingerprint: CodecId
    sequences: SequencesVersion
    """Content id of the sequences it saw."""
    data_position: int
    """Examples drawn from the mixture so far in this stage."""
    seed: int
    ledger: list[LedgerEntry] = field(default_factory=list)
    held_out: list[HeldOutLoss] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)

    @property
    def better_than_chance(self) -> tuple[int, int]:
        """Tasks that are better than chance at the end, and tasks whose chance is known."""
        found = [loss.beside_chance for loss in self.held_out if loss.beside_chance]
        return found.count("better"), len(found)
