"""What the statistics of a shard of `instructions` say of each task, so that a table of tasks reads no row.

    examples/asr/train/queen -> 41.0        seconds/asr/train/queen -> 122.5        positions/asr/train/queen -> 5102.0
    not_built/asr/no_text -> 3.0            rows/words -> 44.0

`seconds` are of the clips that the examples name (a clip counts in each example), `positions` about what they take on the grid; `rows` are
annotated clips that meet a need of tasks.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MEASURES = ("examples", "seconds", "positions")
RATE, REASONING_HOP, RECONSTRUCTION_HOP = 24_000, 4_800, 1_920
"""Sample rate in Hz, and samples in a frame of either kind."""
TEXT_OVERHEAD, AUDIO_OVERHEAD = 4, 2
"""Begin, end and the two tags of a text, of which a character counts as a position; begin and end of a part of a clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """What is counted of one example."""

    task: str
    split: str
    corpus: str
    seconds: float
    positions: int


@dataclass(kw_only=True, slots=True)
class TaskCounts:
    """What is counted for one task."""

    totals: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(measure, split, corpus) -> sum."""
    not_built: Counter[str] = field(default_factory=Counter)
    """Reason -> clips."""

    def total(self, measure: str, *, split: str | None = None, corpus: str | None = None) -> float:
        return sum(
            value
            for (name, of_split, of_corpus), value in self.totals.items()
            if name == measure and split in (None, of_split) and corpus in (None, of_corpus)
        )

    @property
    def splits(self) -> list[str]:
        return sorted({split for _, split, _ in self.totals})

    @property
    def corpora(self) -> list[str]:
        return sorted({corpus for _, _, corpus in self.totals})


def example_of(row: Mapping[str, Any], num_samples: Mapping[str, int]) -> Example:
    """What is counted of a row of `instructions` as a dictionary; `num_samples` (24 kHz) of every clip that its segments name."""
    clip_ids = {segment["clip_id"] for segment in row["segments"] if segment["clip_id"]}
    return Example(
        task=row["task"],
        split=row["split"],
        corpus=row["corpus"],
        seconds=sum(num_samples[clip] for clip in clip_ids) / RATE,
        positions=sum(_positions(segment, num_samples) for segment in row["segments"]),
    )


def _positions(segment: Mapping[str, Any], num_samples: Mapping[str, int]) -> int:
    if segment["kind"] in ("prompt", "text"):
        return len(segment["text"]) + TEXT_OVERHEAD
    hop = REASONING_HOP if segment["kind"] == "reasoning" else RECONSTRUCTION_HOP
    return -(-num_samples[segment["clip_id"]] // hop) + AUDIO_OVERHEAD


def example_statistics(examples: Iterable[Example]) -> dict[str, float]:
    """Statistics of a shard's examples."""
    totals: Counter[str] = Counter()
    for one in examples:
        where = f"{one.task}/{one.split}/{one.corpus}"
        for measure, value in zip(MEASURES, (1, one.seconds, one.positions), strict=True):
            totals[f"{measure}/{where}"] += value  # type: ignore[assignment]
    return {name: float(value) for name, value in sorted(totals.items())}


def read_statistics(statistics: Mapping[str, float]) -> tuple[dict[str, TaskCounts], dict[str, int]]:
    """Task -> its counts, and need -> clips that meet it, of a version's statistics."""
    tasks: dict[str, TaskCounts] = {}
    needs: dict[str, int] = {}
    for name, value in statistics.items():
        what, _, rest = name.partition("/")
        if what in MEASURES:
            task, split, corpus = rest.split("/", maxsplit=2)
            tasks.setdefault(task, TaskCounts()).totals[(what, split, corpus)] += value  # type: ignore[assignment]
        elif what == "not_built":
            task, _, reason = rest.partition("/")
            tasks.setdefault(task, TaskCounts()).not_built[reason] += int(value)
        elif what == "rows":
            needs[rest] = int(value)
    return tasks, needs
