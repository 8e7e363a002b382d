"""Which raw clips a limited job works on: the same ones on any worker, spread over corpora, parts of one recording together.

Without a limit only recordings in parts are looked at, and memory does not grow with the number of clips.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated

_COLUMNS = ["clip_id", "medium", "corpus", "domain", "sample_rate", "num_samples", "part_of", "text"]


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a worker must know of the other shards' clips."""

    limited: frozenset[str]
    """Clip ids of the domains that have a limit."""
    chosen: frozenset[str]
    """Those of `limited` that are within the limit."""
    shortest_part_s: dict[str, float]
    """Clip id -> duration of the shortest part recorded together with it, for parts."""

    def has(self, clip_id: str) -> bool:
        return clip_id not in self.limited or clip_id in self.chosen

    @classmethod
    def of(cls, store: Store, raw: Manifest, job: RawToAnnotated) -> "Limits":
        limits_s = {domain: limit for domain, limit in job.limits_s().items() if limit}
        limited: list[Candidate] = []
        parts: list[Candidate] = []
        for table in store.tables(raw, _COLUMNS):
            for clip in _candidates(table, tuple(limits_s), job):
                if clip.domain in limits_s:
                    limited.append(clip)
                if clip.recording != clip.clip_id:
                    parts.append(clip)
        shortest: dict[str, float] = {}
        for clip in parts:
            shortest[clip.recording] = min(clip.duration_s, shortest.get(clip.recording, clip.duration_s))
        return cls(
            limited=frozenset(clip.clip_id for clip in limited),
            chosen=frozenset(choose(limited, limits_s)),
            shortest_part_s={clip.clip_id: shortest[clip.recording] for clip in parts},
        )


def _candidates(table: pa.Table, limited: tuple[str, ...], job: RawToAnnotated) -> Iterator[Candidate]:
    """The clips of the limited domains, and parts; without their texts, of which only the length is wanted."""
    is_limited = pc.or_(
        pc.is_in(table["domain"], value_set=pa.array(limited, pa.string())), pc.is_valid(table["part_of"])
    )
    limited_rows = table.filter(is_limited)
    lengths = pc.fill_null(pc.utf8_length(limited_rows["text"]), 0)
    for row in limited_rows.drop_columns(["text"]).append_column("num_characters", lengths).to_pylist():
        yield _candidate(row, job)


def _candidate(row: dict[str, Any], job: RawToAnnotated) -> Candidate:
    duration_s = row["num_samples"] / row["sample_rate"] if row["sample_rate"] else 0.0
    if row["medium"] == "text":
        used = max(1.0, row["num_characters"] / job.max_passage_characters)
        used = min(used, job.max_passages_per_document or used)
    elif row["domain"] == "speech" or not job.max_pieces_per_clip:
        used = duration_s
    else:
        used = min(duration_s, job.max_pieces_per_clip * job.max_sound_clip_s)
    return Candidate(
        clip_id=row["clip_id"],
        corpus=row["corpus"],
        domain=row["domain"],
        duration_s=duration_s,
        used_s=used,
        recording=f"{row['corpus']}/{row['part_of']}" if row["part_of"] else row["clip_id"],
    )


def choose(clips: list[Candidate], limits_s: dict[str, float]) -> set[str]:
    """Clip ids within `limits_s` (domain -> seconds, 0 for no limit): the next clip is one of the corpus that has
    least so far."""
    clip_ids: set[str] = set()
    for domain in sorted({clip.domain for clip in clips}):
        limit = limits_s.get(domain, 0.0)
        members = [clip for clip in clips if clip.domain == domain]
        clip_ids |= {clip.clip_id for clip in members} if not limit else _fill(members, limit)
    return clip_ids


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
    clip_ids: set[str] = set()
    while waiting and sum(taken_s.values()) < limit_s:
        corpus = min(waiting, key=lambda name: (taken_s[name], name))
        parts = waiting[corpus].pop()
        seconds = sum(part.used_s for part in parts)
        # A long recording that would pass the limit by far is left for shorter ones.
        if sum(taken_s.values()) + seconds <= limit_s * 1.1 or not clip_ids:
            taken_s[corpus] += seconds
            clip_ids |= {part.clip_id for part in parts}
        if not waiting[corpus]:
            del waiting[corpus]
    return clip_ids
