"""What a benchmark gives: score rows with their intervals, dropped samples, and the blobs the rows name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from uniaudio_schemas.fingerprint import hash_json, short
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.scores import Medium, Score

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio_pipelines.checkpoint_to_scores.picture import spectrogram_png
from uniaudio_pipelines.scoring import Collected, Estimate, Metric

__all__ = ["Estimate", "Metric", "Outcome"]


@dataclass(kw_only=True, slots=True)
class Outcome(Collected):
    """Collects one benchmark's results."""

    benchmark: str
    checkpoint_id: str
    scores: list[Score] = field(default_factory=list)

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
        estimate, why = Estimate.where_finite(estimate)
        if estimate is None:
            self.drop(f"{metric.name}/{domain}", "no_score", why)
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
        return Outcome(
            benchmark=benchmark, checkpoint_id=self.checkpoint_id, unit=self.unit or self.benchmark, folder=self.folder
        )

    def take(self, part: "Outcome") -> None:
        """Add what a part collected."""
        self.scores += part.scores
        self.dropped += part.dropped
        self.blobs |= part.blobs
        self.audio_s += part.audio_s

    def media_of(self, title: str, samples: np.ndarray) -> list[Medium]:
        """The spectrogram and the audio of `[N]` samples at 24 kHz."""
        picture = self.put_blob(spectrogram_png(samples, SAMPLE_RATE))
        sound = self.put_audio(samples)
        return [
            Medium(title=title, mime="image/png", blob=picture),
            Medium(title=title, mime="audio/flac", blob=sound),
        ]
