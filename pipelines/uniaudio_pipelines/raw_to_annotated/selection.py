"""Which raw clips a limited job works on: the same ones on any worker, spread over corpora, parts of one recording
together."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.manifest import Manifest
from uniaudio_schemas.store import Store

from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.splits import assign_splits

_COLUMNS = [
    "clip_id", "medium", "corpus", "domain", "sample_rate", "num_samples", "split_group", "speaker", "part_of", "text"
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A raw clip, as far as choosing needs it."""

    clip_id: str
    corpus: str
    domain: str
    duration_s: float
    used_s: float
    """Seconds that its cuts would have; passages for text."""
    recording: str
    """What must be chosen together: `part_of`, or the clip."""
    split_group: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What a worker must know of the other shards' clips."""

    chosen: frozenset[str]
    """Clip ids."""
    group: dict[str, str]
    """Clip id -> split group."""
    splits: dict[str, str]
    """Split group -> split."""
    shortest_part_s: dict[str, float]
    """Clip id -> duration of the shortest part recorded together with it."""

    @classmethod
    def of(cls, store: Store, raw: Manifest, job: RawToAnnotated) -> "Selection":
        clips = [_candidate(row, job) for row in _facts(store.read(raw, columns=_COLUMNS))]
        chosen = choose(clips, job.limits_s())
        shortest: dict[str, float] = {}
        for clip in clips:
            shortest[clip.recording] = min(clip.duration_s, shortest.get(clip.recording, clip.duration_s))
        kept = [clip for clip in clips if clip.clip_id in chosen]
        return cls(
            chosen=frozenset(chosen),
            group={clip.clip_id: clip.split_group for clip in kept},
            splits=assign_splits((clip.corpus, clip.split_group, clip.domain) for clip in kept),
            shortest_part_s={clip.clip_id: shortest[clip.recording] for clip in kept},
        )


def _facts(table: pa.Table) -> list[dict[str, Any]]:
    """Rows without their texts, of which only the length is wanted."""
    lengths = pc.fill_null(pc.utf8_length(table["text"]), 0)
    rows: list[dict[str, Any]] = table.drop_columns(["text"]).append_column("num_characters", lengths).to_pylist()
    return rows


def _voice(row: dict[str, Any]) -> str | None:
    """A voice that was trained on must not be held out. Names of speakers are their corpus' own."""
    return f"{row['corpus']}/{row['speaker']}" if row["speaker"] else None


def _candidate(row: dict[str, Any], job: RawToAnnotated) -> Candidate:
    duration_s = row["num_samples"] / row["sample_rate"] if row["sample_rate"] else 0.0
    if row["medium"] == "text":
        used = max(1.0, row["num_characters"] / job.max_passage_characters)
        used = min(used, job.max_passages_per_document or used)
    elif row["domain"] == "speech" or not job.max_pieces_per_clip:
        used = duration_s
    else:
        used = min(duration_s, job.max_pieces_per_clip * job.max_sound_clip_s)
    recording = f"{row['corpus']}/{row['part_of']}" if row["part_of"] else row["clip_id"]
    return Candidate(
        clip_id=row["clip_id"],
        corpus=row["corpus"],
        domain=row["domain"],
        duration_s=duration_s,
        used_s=used,
        recording=recording,
        split_group=row["split_group"] or _voice(row) or recording,
    )


def choose(clips: list[Candidate], limits_s: dict[str, float]) -> set[str]:
    """Clip ids within `limits_s` (domain -> seconds, 0 for no limit): the next clip is one of the corpus that has
    least so far."""
    chosen: set[str] = set()
    for domain in sorted({clip.domain for clip in clips}):
        limit = limits_s.get(domain, 0.0)
        members = [clip for clip in clips if clip.domain == domain]
        chosen |= {clip.clip_id for clip in members} if not limit else _fill(members, limit)
    return chosen


def _fill(clips: list[Candidate], limit_s: float) -> set[str]:
    waiting: dict[str, list[list[Candidate]]] = {}
    recordings: dict[tuple[str, str], list[Candidate]] = {}
    for clip in clips:
        recordings.setdefault((clip.corpus, clip.recording), []).append(clip)
    for (corpus, _), parts in sorted(
        recordings.items(), key=lambda item: hash_bytes(item[0][1].encode()), reverse=True
    ):
        waiting.setdefault(corpus, []).append(parts)
    taken_s = dict.fromkeys(waiting, 0.0)
    chosen: set[str] = set()
    while waiting and sum(taken_s.values()) < limit_s:
        corpus = min(waiting, key=lambda name: (taken_s[name], name))
        parts = waiting[corpus].pop()
        seconds = sum(part.used_s for part in parts)
        # A long recording that would pass the limit by far is left for shorter ones.
        if sum(taken_s.values()) + seconds <= limit_s * 1.1 or not chosen:
            taken_s[corpus] += seconds
            chosen |= {part.clip_id for part in parts}
        if not waiting[corpus]:
            del waiting[corpus]
    return chosen
