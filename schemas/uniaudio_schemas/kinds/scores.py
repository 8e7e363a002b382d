"""`scores`: checkpoint x benchmark x metric.

Written by  checkpoint_to_scores
Read by     the report

One row:
    {"score_id": "…", "checkpoint_id": "d0…", "benchmark": "asr", "metric": "wer", "domain": "speech", "value": 1.31, "low": 1.12, "high": 1.5,
     "num_samples": 9, "baseline": "empty answer", "baseline_value": 1.0, "higher_is_better": False, "predictions": "blob", "media": []}
"""

from dataclasses import dataclass, field

from uniaudio_schemas.kinds.ids import Blob, CheckpointId, Digest, PredictionLines
from uniaudio_schemas.kinds.record import schema


@dataclass(frozen=True, kw_only=True, slots=True)
class Medium:
    """Something to look at or to listen to."""

    title: str
    mime: str
    """`image/png` or `audio/flac`."""
    blob: Blob


@schema("scores", version=1, id_field="score_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    score_id: Digest
    checkpoint_id: CheckpointId
    benchmark: str
    metric: str
    domain: str
    value: float
    low: float | None
    """95 % bootstrap interval over the recordings behind the samples; None with fewer than two."""
    high: float | None
    num_samples: int
    baseline: str
    """What the trivial baseline does."""
    baseline_value: float | None
    higher_is_better: bool
    predictions: PredictionLines | None = None
    """Blob (sha256) of the JSONL with one line a sample."""
    media: list[Medium] = field(default_factory=list)

    @property
    def beside_baseline(self) -> str:
        """`better`, `equal` or `worse` than what the trivial baseline gives; empty where that is not known."""
        if self.baseline_value is None:
            return ""
        if self.value == self.baseline_value:
            return "equal"
        return "better" if (self.value > self.baseline_value) == self.higher_is_better else "worse"
