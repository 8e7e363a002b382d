"""`codec_scores`: codec x system x benchmark x metric: what a codec's tokens are worth, beside other codecs and its own parts.

Written by  codec_to_scores
Read by     `uniaudio leaderboard --codecs`

One row:
    {"score_id": "…", "codec_id": "c81f…", "system": "Codec2 1400", "benchmark": "reconstruction", "metric": "pesq", "domain": "speech", "value":
     1.32, "low": 1.2, "high": 1.4, "num_samples": 20, "bits_per_s": 1400.0, "baseline": "white noise of the same level", "baseline_value": 1.04,
     "higher_is_better": True, "predictions": "blob"}
"""

from dataclasses import dataclass, field

from uniaudio_schemas.kinds.ids import CodecId, Digest, PredictionLines
from uniaudio_schemas.kinds.record import schema
from uniaudio_schemas.kinds.scores import Medium


@schema("codec_scores", version=1, id_field="score_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class CodecScore:
    score_id: Digest
    codec_id: CodecId
    """The codec that is judged; `system` says which of its parts, or what stands beside it."""
    system: str
    """Name of what was measured, such as `ReasoningCodec debug`, `Opus 6 kbit/s`, `reconstruction given reasoning`, `reasoning states`."""
    benchmark: str
    """`reconstruction`, `perplexity`, or `understanding/TASK`."""
    metric: str
    domain: str
    value: float
    low: float | None
    """95 % bootstrap interval over the recordings behind the samples; None with fewer than two."""
    high: float | None
    num_samples: int
    bits_per_s: float | None
    """Bits that the system keeps of a second of audio; None where it keeps no stream of bits."""
    baseline: str
    """What the trivial baseline does."""
    baseline_value: float | None
    higher_is_better: bool
    predictions: PredictionLines | None = None
    """Blob (sha256) of the JSONL with one line a sample."""
    media: list[Medium] = field(default_factory=list)
