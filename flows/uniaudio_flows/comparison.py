"""Which of two checkpoints is better, metric by metric, on the samples that both answered.

Reads    two versions of scores and the predictions behind them; checkpoint, annotated (paths of clips), the runs log
Gives    rows, in the order of their names:
    {"benchmark": "asr", "domain": "speech", "metric": "wer", "first": 9.15, "second": 8.9, "difference": -0.25, "low": -0.6, "high": 0.1,
     "p_value": 0.3, "corrected_p_value": 1.0, "is_better": null, "samples": 7, "recordings": 7, "wins": 4, "losses": 3, "ties": 0}

`is_better` says so only where the corrected p-value is 0.05 or less. Equal stores give equal bytes in every form.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.history.find import version_named
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.store.runs import read_runs

from uniaudio.metrics.paired import Difference, holm, paired_difference

LEVEL = 0.05
_SHOWN = 3
"""Examples on either side of a metric."""
Key = tuple[str, str, str]
"""Benchmark, domain, metric."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One version of scores."""

    name: str
    """Name that the user gave: a ref or an id."""
    manifest: Manifest
    stage: str
    checkpoint_id: str
    scores: dict[Key, Score]
    cpu_seconds: float
    """CPU time of the job that made the scores; 0 where no log has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    key: Key
    first: Score
    second: Score
    difference: Difference | None
    """Difference on the samples of both sides; None where predictions are not kept, or no sample is in both."""
    corrected_p_value: float | None = None
    num_samples: int = 0
    wins: int = 0
    """Samples on which the second is better."""
    losses: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    """Samples where the two are farthest apart, for the second and against it."""

    @property
    def is_better(self) -> bool | None:
        """Whether the second is; None where that is not sure."""
        difference = self.difference
        if (
            difference is None
            or self.corrected_p_value is None
            or self.corrected_p_value > LEVEL
            or not difference.value
        ):
            return None
        return (difference.value > 0) == self.first.higher_is_better


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    first: Side
    second: Side
    rows: list[Row]
    alone: list[tuple[str, Key]]
    """Side and metric that the other has not."""


def compare(store: Store, first: str, second: str) -> Comparison:
    """Compare two versions, each named by a ref or the start of an id, of scores or of checkpoint."""
    sides = side_of(store, first), side_of(store, second)
    both = sorted(set(sides[0].scores) & set(sides[1].scores))
    lines = _Lines(store)
    rows = [_row(lines, key, sides[0].scores[key], sides[1].scores[key]) for key in both]
    corrected = holm([None if row.difference is None else row.difference.p_value for row in rows])
    alone = [
        (side.name, key) for side, other in (sides, sides[::-1]) for key in sorted(set(side.scores) - set(other.scores))
    ]
    return Comparison(
        first=sides[0],
        second=sides[1],
        rows=[_corrected(row, value) for row, value in zip(rows, corrected, strict=True)],
        alone=alone,
    )


def side_of(store: Store, name: str) -> Side:
    """The version of scores that a word names, or the newest one of the checkpoint that it names."""
    manifest = _scores_named(store, name)
    rows = list(store.rows(manifest, Score))
    checkpoint_id = rows[0].checkpoint_id if rows else ""
    runs = [run for run in read_runs(store) if run.plan_id == manifest.plan_id and run.rows]
    return Side(
        name=name,
        manifest=manifest,
        stage=stage_of(store, manifest),
        checkpoint_id=checkpoint_id,
        scores={(row.benchmark, row.domain, row.metric): row for row in rows},
        cpu_seconds=max((run.cpu_seconds for run in runs), default=0.0),
    )


def stage_of(store: Store, manifest: Manifest) -> str:
    """Stage of the checkpoint behind a version of scores; empty where the store no longer has the checkpoint."""
    content = manifest.parents.get("checkpoint", "")
    version = next((one for one in store.versions("checkpoint") if one.content_id == content), None)
    row = next(iter(store.rows(version, Checkpoint)), None) if version else None
    return row.stage if row else ""


def _scores_named(store: Store, name: str) -> Manifest:
    try:
        return version_named(store, "scores", name)
    except UsageError as error:
        unknown = error
    try:
        checkpoint = version_named(store, "checkpoint", name)
    except UsageError:
        raise unknown from None
    made_at = {run.plan_id: run.started for run in read_runs(store)}
    candidates = [one for one in store.versions("scores") if one.parents.get("checkpoint") == checkpoint.content_id]
    if not candidates:
        raise UsageError(
            f"`{name}` must be a checkpoint with scores, but has none: "
            f"`prefect deployment run evaluate-checkpoint/local --param checkpoint={name} --param ref={name}`."
        )
    return max(candidates, key=lambda one: (made_at.get(one.plan_id, 0.0), one.plan_id))


def shape_of(metric: str) -> Callable[[np.ndarray], np.ndarray]:
    """Function from a mean over samples to the metric's value: a perplexity is the exponential of the mean loss."""
    return np.exp if metric.endswith("_perplexity") else np.asarray


class _Lines:
    """Predictions by sample, each blob read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, dict[str, dict[str, Any]]] = {}

    def of(self, score: Score) -> dict[str, dict[str, Any]]:
        if score.predictions is None:
            return {}
        if score.predictions not in self._known:
            text = self._store.open_blob(score.predictions).read_text()
            rows = [json.loads(line) for line in text.splitlines()]
            self._known[score.predictions] = {row["sample_id"]: row for row in rows if "sample_id" in row}
        return self._known[score.predictions]


def _row(lines: _Lines, key: Key, first: Score, second: Score) -> Row:
    metric = key[2]
    ours, theirs = lines.of(first), lines.of(second)
    ids = [
        one
        for one in sorted(set(ours) & set(theirs))
        if all(metric in side[one]["metrics"] and "recording" in side[one] for side in (ours, theirs))
    ]
    if not ids:
        return Row(key=key, first=first, second=second, difference=None)
    sides = [np.array([side[one]["metrics"][metric] for one in ids], np.float64) for side in (ours, theirs)]
    recordings = [ours[one]["recording"] for one in ids]
    gains = _gains(sides[0], sides[1], higher_is_better=first.higher_is_better)
    return Row(
        key=key,
        first=first,
        second=second,
        difference=paired_difference(sides[0], sides[1], recordings, shape=shape_of(metric)),
        num_samples=len(ids),
        wins=int((gains > 0).sum()),
        losses=int((gains < 0).sum()),
        examples=_examples(ids, gains, ours, theirs, metric),
    )


def _gains(first_N2: np.ndarray, second_N2: np.ndarray, *, higher_is_better: bool) -> np.ndarray:
    """How much better the second is on each sample; nothing where a sample has no weight."""
    weights = np.stack([first_N2[:, 1], second_N2[:, 1]])
    values = np.stack([first_N2[:, 0], second_N2[:, 0]]) / np.maximum(weights, 1e-12)
    gains = (values[1] - values[0]) * (1 if higher_is_better else -1)
    return np.where((weights > 0).all(axis=0), gains, 0.0)


def _examples(
    ids: list[str], gains: np.ndarray, ours: dict[str, Any], theirs: dict[str, Any], metric: str
) -> list[dict[str, Any]]:
    order = sorted(range(len(ids)), key=lambda place: (-gains[place], ids[place]))
    best = [place for place in order if gains[place] > 0][:_SHOWN]
    worst = [place for place in order[::-1] if gains[place] < 0][:_SHOWN]
    return [
        _example(ids[place], float(gains[place]), ours[ids[place]], theirs[ids[place]], metric)
        for place in (*best, *worst)
    ]


def _example(sample: str, gain: float, ours: dict[str, Any], theirs: dict[str, Any], metric: str) -> dict[str, Any]:
    example: dict[str, Any] = {"sample_id": sample, "gain": gain, "clip_ids": ours.get("clip_ids", [])}
    if "reference" in ours:
        example["reference"] = ours["reference"]
    for name, side in (("first", ours), ("second", theirs)):
        example[name] = {"answer": side.get("answer", ""), "value": side["metrics"][metric]}
    return example


def _corrected(row: Row, value: float | None) -> Row:
    return replace(row, corrected_p_value=value)
