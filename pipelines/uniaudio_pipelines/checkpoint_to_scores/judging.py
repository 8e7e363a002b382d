"""Answers judged block by block: what one block needs (audio, prompts) is let go before the next one, and what is left of a sample is its line and
its share of each metric.

Predictions, one line a sample; a metric is a numerator and a denominator:
    {"sample_id": "a3…", "sequence_id": "a3…", "recording": "5f…", "clip_ids": ["5f…"], "reference": "let's go", "answer": "lets go",
     "metrics": {"wer": [1, 2]}}
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.scores import Medium

from uniaudio.metrics.frechet import frechet_distance
from uniaudio.metrics.normalizers import normalizer_of
from uniaudio.metrics.table import METRICS
from uniaudio_pipelines.checkpoint_to_scores.embeddings import EMBEDDING, embed
from uniaudio_pipelines.checkpoint_to_scores.measures import MEASURES, Pair
from uniaudio_pipelines.checkpoint_to_scores.outcome import Estimate, Metric, Outcome
from uniaudio_pipelines.checkpoint_to_scores.samples import Sample
from uniaudio_pipelines.checkpoint_to_scores.tools import MissingModelError, Tools

_SETS = "sets"
_MISSING = (ModuleNotFoundError, MissingModelError, UsageError)
Measured = list[tuple[Pair | None, Pair | None]]
"""For each sample the model's value and the baseline's; the baseline has one only where the model has one."""


class Judging:
    """One row a metric, over all samples that it is defined for."""

    def __init__(
        self,
        outcome: Outcome,
        metrics: Sequence[str],
        tools: Tools,
        *,
        title: str,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """`about`: what each line of predictions says besides."""
        self._outcome, self._metrics, self._tools, self._title = outcome, metrics, tools, title
        self._about = dict(about or {})
        self._measured: dict[str, Measured] = {name: [] for name in metrics if METRICS[name].needs != _SETS}
        self._embedded: dict[str, list[np.ndarray]] = {"recorded": [], "made": [], "noise": []}
        self._lines: list[dict[str, Any]] = []
        self._recordings: list[str] = []
        self._missing: set[str] = set()
        self._media: list[Medium] = []
        self._domain = ""

    def add(self, samples: Sequence[Sample]) -> None:
        """A block of answered samples; their audio is needed no more."""
        self._tools.see(samples)
        if not self._lines and samples:
            self._domain = samples[0].domain
            if samples[0].made:
                title = f"{self._title}: {samples[0].reference}"[:120]
                self._media = self._outcome.media_of(title, samples[0].made[0])
        measured = {name: self._measure(samples, name) for name in self._measured}
        for name, values in measured.items():
            self._measured[name] += values
        if len(self._measured) < len(self._metrics):
            self._embed(samples)
        self._recordings += [sample.recording for sample in samples]
        self._lines += [
            self._about | _line(sample, place, measured) | self._sounds(sample) for place, sample in enumerate(samples)
        ]

    def finish(self) -> None:
        """The rows, in the order of the metrics."""
        predictions = self._outcome.put_lines(self._lines)
        num_before = len(self._outcome.scores)
        for name in self._metrics:
            # With the first row that there is.
            media = self._media if len(self._outcome.scores) == num_before else []
            if METRICS[name].needs == _SETS:
                self._add_sets(name, predictions, media)
            else:
                self._add(name, predictions, media)

    def _measure(self, samples: Sequence[Sample], name: str) -> Measured:
        measure = MEASURES[name]
        measured: Measured = []
        for sample in samples:
            if name in self._missing:
                measured.append((None, None))
                continue
            try:
                value = measure.of(sample, self._tools)
                measured.append((value, None if value is None else measure.of_baseline(sample, self._tools)))
            except _MISSING as error:
                self._outcome.drop(name, "not_installed", str(error))
                self._missing.add(name)
                # Of all samples or of none: what was measured before says nothing of the others.
                self._measured[name] = [(None, None)] * len(self._measured[name])
                return [(None, None)] * len(samples)
            if value is None:
                self._outcome.drop(f"{sample.sample_id}/{name}", *_why_not(sample, name))
        return measured

    def _embed(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            answer_audio = sample.made[0]
            clips = {
                "recorded": sample.audio(sample.recorded[0]),
                "made": answer_audio,
                "noise": self._tools.noise(len(answer_audio)),
            }
            for name, clip in clips.items():
                self._embedded[name].append(embed(clip))

    def _add(self, name: str, predictions: str, media: list[Medium]) -> None:
        triples = zip(self._measured[name], self._recordings, strict=True)
        known = [(value, base, recording) for (value, base), recording in triples if value is not None]
        estimate = Estimate.of(
            [value[0] for value, _, _ in known],
            [value[1] for value, _, _ in known],
            recordings=[recording for _, _, recording in known],
        )
        baselines = [base for _, base, _ in known if base is not None]
        weight = sum(base[1] for base in baselines)
        better = METRICS[name].higher_is_better
        self._outcome.add(
            Metric(name=name, higher_is_better=better, baseline=MEASURES[name].baseline),
            self._domain,
            estimate,
            baseline_value=sum(base[0] for base in baselines) / weight if weight else None,
            predictions=predictions,
            media=media,
        )

    def _add_sets(self, name: str, predictions: str, media: list[Medium]) -> None:
        """Add metrics of whole sets of clips, whose baseline is white noise as long as each answer. The number of samples is part of what
        such a value means."""
        recorded, made, noise = (np.stack(clips) for clips in self._embedded.values())
        value, baseline = frechet_distance(recorded, made), frechet_distance(recorded, noise)
        better = METRICS[name].higher_is_better
        metric = Metric(name=f"{name}/{EMBEDDING}", higher_is_better=better, baseline="white noise")
        estimate = None if value is None else Estimate(value=value, num_samples=len(made))
        self._outcome.add(metric, self._domain, estimate, baseline_value=baseline, predictions=predictions, media=media)

    def _sounds(self, sample: Sample) -> dict[str, list[str]]:
        """Blobs of what was made and of what was recorded, for a listener."""
        if not sample.made:
            return {}
        return {
            "made_audio": [self._outcome.put_audio(one) for one in sample.made],
            "recorded_audio": [self._outcome.put_audio(sample.audio(clip)) for clip in sample.recorded],
        }


def judge(
    outcome: Outcome,
    samples: Sequence[Sample],
    metrics: Sequence[str],
    tools: Tools,
    *,
    title: str,
    about: Mapping[str, Any] | None = None,
) -> None:
    """All samples as one block."""
    judging = Judging(outcome, metrics, tools, title=title, about=about)
    judging.add(samples)
    judging.finish()


def _why_not(sample: Sample, name: str) -> tuple[str, str]:
    if name == "length_error" and sample.finished != "stop":
        return "not_finished", f"no end after {sample.num_frames} frames, the job's limit"
    if METRICS[name].needs == "choices":
        return "no_choices", "the question lists no choices"
    if METRICS[name].needs == "words" and not sample.reference.strip():
        return "no_given_text", "the source does not say what is spoken"
    if METRICS[name].needs == "instruction":
        return "no_instruction", "the instruction names neither pitch nor rate"
    return "no_score", "too short, silent, or without speech"


def _line(sample: Sample, place: int, measured: dict[str, Measured]) -> dict[str, Any]:
    line: dict[str, Any] = {
        "sample_id": sample.sample_id,
        "recording": sample.recording,
        "clip_ids": sample.clip_ids,
        "reference": sample.reference,
        "metrics": {name: list(value) for name, values in measured.items() if (value := values[place][0]) is not None},
    }
    if sample.is_example:
        line["sequence_id"] = sample.sample_id
    if sample.recorded:
        frames = {"frames": sample.num_frames, "recorded_frames": sample.num_recorded_frames}
        return line | frames | {"finished": sample.finished}
    if "wer" in measured or "cer" in measured:
        line["normalizer"] = normalizer_of(sample.language)
    return line | {"answer": sample.answer} | ({"choices": list(sample.choices)} if sample.choices else {})
