"""What a unit gives: rows of `codec_scores`, and what was dropped."""

import math
from dataclasses import dataclass, field

from uniaudio_schemas.fingerprint import hash_json, short
from uniaudio_schemas.kinds.codec_scores import CodecScore
from uniaudio_schemas.kinds.scores import Medium

from uniaudio_pipelines.scoring import Collected, Estimate, Metric


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a row is about."""

    system: str
    benchmark: str
    domain: str
    bits_per_s: float | None = None


@dataclass(kw_only=True, slots=True)
class CodecOutcome(Collected):
    """Collects one unit's results."""

    codec_id: str
    scores: list[CodecScore] = field(default_factory=list)

    def add(
        self,
        subject: Subject,
        metric: Metric,
        estimate: Estimate | None,
        *,
        baseline_value: float | None,
        predictions: str | None = None,
        media: tuple[Medium, ...] = (),
    ) -> None:
        """One row; dropped as `no_score` where the value is not defined or not finite."""
        estimate, why = Estimate.where_finite(estimate)
        if estimate is None:
            self.drop(f"{metric.name}/{subject.domain}", "no_score", why)
            return
        identity = [self.codec_id, subject.system, subject.benchmark, metric.name, subject.domain]
        self.scores.append(
            CodecScore(
                score_id=short(hash_json(identity)),
                codec_id=self.codec_id,
                system=subject.system,
                benchmark=subject.benchmark,
                metric=metric.name,
                domain=subject.domain,
                value=estimate.value,
                low=estimate.low,
                high=estimate.high,
                num_samples=estimate.num_samples,
                bits_per_s=subject.bits_per_s,
                baseline=metric.baseline,
                baseline_value=baseline_value if baseline_value is None or math.isfinite(baseline_value) else None,
                higher_is_better=metric.higher_is_better,
                predictions=predictions,
                media=list(media),
            )
        )
