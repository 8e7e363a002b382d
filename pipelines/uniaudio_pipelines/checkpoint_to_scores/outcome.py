"""What a benchmark gives: score rows with their intervals, dropped samples, and the blobs the rows name."""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from uniaudio_schemas.fingerprint import hash_bytes, hash_json, short
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.scores import Medium, Score

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.read import write_flac_bytes
from uniaudio.metrics.bootstrap import bootstrap_interval
from uniaudio_pipelines.checkpoint_to_scores.picture import spectrogram_png


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """How one number is called and compared."""

    name: str
    higher_is_better: bool
    baseline: str
    """What the trivial baseline does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value and, where the samples behind it are at hand and of more than one recording, its 95 % interval."""

    value: float
    num_samples: int
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(
        cls,
        values: Sequence[float],
        weights: Sequence[float] | None = None,
        *,
        recordings: Sequence[str],
        shape: Callable[[float], float] = float,
    ) -> "Estimate | None":
        """The mean, or `sum(values) / sum(weights)`, passed through the rising `shape`; None without samples or
        weight. `recordings`: of each sample; the interval is over them.
        """
        total = float(len(values)) if weights is None else float(np.sum(weights))
        if not total:
            return None
        interval = bootstrap_interval(values, weights, groups=recordings)
        low, high = (None, None) if interval is None else (shape(interval[0]), shape(interval[1]))
        is_finite = low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
        value = shape(float(np.sum(values)) / total)
        return cls(
            value=value, num_samples=len(values), low=low if is_finite else None, high=high if is_finite else None
        )


@dataclass(kw_only=True, slots=True)
class Outcome:
    """Collects one benchmark's results."""

    benchmark: str
    checkpoint_id: str
    unit: str = ""
    """Of the job, where it holds several benchmarks."""
    scores: list[Score] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    """sha256 -> bytes."""
    audio_s: float = 0.0
    """Seconds of audio that were encoded or made."""

    def add(
        self,
        metric: Metric,
        domain: str,
        estimate: Estimate | None,
        *,
        baseline_value: float | None,
        predictions: str | None = None,
        media: Sequence[Medium] = (),
    ) -> None:
        """One row; dropped as `no_score` where the value is not defined or not finite."""
        if estimate is None or not math.isfinite(estimate.value):
            detail = "there is no sample it is defined for" if estimate is None else f"the value is {estimate.value}"
            self.drop(f"{metric.name}/{domain}", "no_score", detail)
            return
        identity = [self.checkpoint_id, self.benchmark, metric.name, domain]
        score = Score(
            score_id=short(hash_json(identity)),
            checkpoint_id=self.checkpoint_id,
            benchmark=self.benchmark,
            metric=metric.name,
            domain=domain,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            num_samples=estimate.num_samples,
            baseline=metric.baseline,
            baseline_value=baseline_value if baseline_value is None or math.isfinite(baseline_value) else None,
            higher_is_better=metric.higher_is_better,
            predictions=predictions,
            media=list(media),
        )
        self.scores.append(score)

    def drop(self, row_id: str, reason: str, detail: str) -> None:
        self.dropped.append(Dropped(row_id=row_id, reason=reason, detail=detail, unit=self.unit or self.benchmark))

    def part(self, benchmark: str) -> "Outcome":
        """An outcome of another benchmark of the same unit, for `take`."""
        return Outcome(benchmark=benchmark, checkpoint_id=self.checkpoint_id, unit=self.unit or self.benchmark)

    def take(self, part: "Outcome") -> None:
        """Add what a part collected."""
        self.scores += part.scores
        self.dropped += part.dropped
        self.blobs |= part.blobs
        self.audio_s += part.audio_s

    def put_blob(self, data: bytes) -> str:
        digest = hash_bytes(data)
        self.blobs[digest] = data
        return digest

    def put_lines(self, lines: Sequence[Mapping[str, Any]]) -> str:
        """Predictions as JSON lines; the blob's sha256."""
        text = io.StringIO()
        for line in lines:
            text.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
        return self.put_blob(text.getvalue().encode())

    def put_audio(self, samples: np.ndarray) -> str:
        """`[N]` samples at 24 kHz as FLAC; the blob's sha256."""
        return self.put_blob(write_flac_bytes(samples, SAMPLE_RATE))

    def media_of(self, title: str, samples: np.ndarray) -> list[Medium]:
        """The spectrogram and the audio of `[N]` samples at 24 kHz."""
        picture = self.put_blob(spectrogram_png(samples, SAMPLE_RATE))
        sound = self.put_audio(samples)
        return [
            Medium(title=title, mime="image/png", blob=picture),
            Medium(title=title, mime="audio/flac", blob=sound),
        ]
