"""Which of two checkpoints, or of two codecs, is better, metric by metric, on the samples of both.

Reads    two versions of scores, or of codec_scores, and the predictions behind them; checkpoint, the runs log
Gives    rows, in the order of their names:
    {"benchmark": "asr", "domain": "speech", "metric": "wer", "first": 9.15, "second": 8.9, "difference": -0.25, "low": -0.6, "high": 0.1,
     "p_value": 0.3, "corrected_p_value": 1.0, "is_better": null, "samples": 7, "recordings": 7, "wins": 4, "losses": 3, "ties": 0}

`is_better` says so only where the corrected p-value is 0.05 or less. Equal stores give equal bytes in every form.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.history.find import version_named
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.kinds.codec_scores import CodecScore
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.store.runs import read_runs

from uniaudio.metrics.paired import Difference, holm, paired_difference

LEVEL = 0.05
SOUNDS = ("recorded", "first", "second")
"""Parts of an example that may be heard."""
_SHOWN = 3
"""Examples on either side of a metric."""
Key = tuple[str, str, str]
"""Benchmark, domain, metric."""
_OF_SIZE = re.compile(r"^ReasoningCodec \w+")
"""What a codec is called beside others; of two codecs the size is no part of what is compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One version of scores."""

    name: str
    """Name that the user gave: a ref or an id."""
    judged: str
    """`checkpoint` or `codec`."""
    judged_id: str
    manifest: Manifest
    stage: str
    """Stage of a checkpoint; empty of a codec."""
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

    @property
    def sounds(self) -> list[str]:
        """Blobs (sha256) of the FLAC files of all examples."""
        examples = [one for row in self.rows for one in row.examples]
        return sorted({blob for one in examples for part in SOUNDS for blob in one.get(part, {}).get("audio", [])})


def compare(store: Store, first: str, second: str, *, of_codecs: bool = False) -> Comparison:
    """Compare two versions, each named by a ref or the start of an id, of scores or of checkpoint; `of_codecs`: of codec_scores or of codec."""
    find = codec_side_of if of_codecs else side_of
    sides = find(store, first), find(store, second)
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
    manifest = _scores_named(store, name, "scores", "checkpoint")
    side = _side(store, name, "checkpoint", manifest, list(store.rows(manifest, Score)))
    return replace(side, stage=stage_of(store, manifest))


def codec_side_of(store: Store, name: str) -> Side:
    """The version of codec_scores that a word names, or the newest one of the codec that it names. What was measured, such as `Opus 6 kbit/s`
    or the view of a small transformer, is part of the benchmark: `reconstruction/Opus 6 kbit/s`."""
    manifest = _scores_named(store, name, "codec_scores", "codec")
    return _side(store, name, "codec", manifest, [_as_score(row) for row in store.rows(manifest, CodecScore)])


def _side(store: Store, name: str, judged: str, manifest: Manifest, rows: Sequence[Score]) -> Side:
    runs = [run for run in read_runs(store) if run.plan_id == manifest.plan_id and run.rows]
    return Side(
        name=name,
        judged=judged,
        judged_id=rows[0].checkpoint_id if rows else "",
        manifest=manifest,
        stage="",
        scores={(row.benchmark, row.domain, row.metric): row for row in rows},
        cpu_seconds=max((run.cpu_seconds for run in runs), default=0.0),
    )


def _as_score(row: CodecScore) -> Score:
    """The row in the form of `scores`; the id is the codec's."""
    shared = {each.name: getattr(row, each.name) for each in fields(Score) if hasattr(row, each.name)}
    benchmark = f"{row.benchmark}/{_OF_SIZE.sub('ReasoningCodec', row.system)}"
    return Score(**{**shared, "checkpoint_id": row.codec_id, "benchmark": benchmark})


def stage_of(store: Store, manifest: Manifest) -> str:
    """Stage of the checkpoint behind a version of scores; empty where the store no longer has the checkpoint."""
    content = manifest.parents.get("checkpoint", "")
    version = next((one for one in store.versions("checkpoint") if one.content_id == content), None)
    row = next(iter(store.rows(version, Checkpoint)), None) if version else None
    return row.stage if row else ""


def _scores_named(store: Store, name: str, kind: str, judged: str) -> Manifest:
    """The version of `kind` that a word names, or the newest one of what it judges, a checkpoint or a codec."""
    try:
        return version_named(store, kind, name)
    except UsageError as error:
        unknown = error
    try:
        version = version_named(store, judged, name)
    except UsageError:
        raise unknown from None
    made_at = {run.plan_id: run.started for run in read_runs(store)}
    candidates = [one for one in store.versions(kind) if one.parents.get(judged) == version.content_id]
    if not candidates:
        raise UsageError(
            f"`{name}` must be a {judged} with scores, but has none: "
            f"`prefect deployment run evaluate-{judged}/local --param {judged}={name} --param ref={name}`."
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
        if side.get("made_audio"):
            example[name]["audio"] = side["made_audio"]
    if ours.get("recorded_audio"):
        example["recorded"] = {"audio": ours["recorded_audio"]}
    return example


def _corrected(row: Row, value: float | None) -> Row:
    return replace(row, corrected_p_value=value)
