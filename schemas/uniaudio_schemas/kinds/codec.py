"""`codec`: one trained ReasoningCodec; a version holds one row.

Written by  annotated_to_codec
Read by     instructions_to_tokens, checkpoint_to_scores

One row:
    {"codec_id": "c81f…", "size": "debug", "weights": "77ab…", "config": "{…}", "sample_rate": 24000, "reasoning_hop_samples": 4800,
     "reconstruction_hop_samples": 1920, "reasoning_codebook_size": 64, "reconstruction_codebook_size": 128, "num_codebooks": 8, …}
"""

from dataclasses import dataclass, field

from uniaudio_schemas.kinds.ids import Blob, CodecId
from uniaudio_schemas.kinds.record import schema

RANKS_STATISTIC = "steps_on_ranks/"
"""Begins the names of statistics of a shard that was trained: `steps_on_ranks/4` is the number of steps that four ranks did. Their
number moves roundings, and is no part of a plan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One point of a curve."""

    phase: str
    """Training phase or stage, such as `scalar`."""
    step: int
    name: str
    value: float


@schema("codec", version=1, id_field="codec_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class CodecRow:
    codec_id: CodecId
    """The fingerprint: first 32 hex digits of sha256(config, every tensor's name, dtype, shape and bytes)."""
    size: str
    weights: Blob
    """Blob (sha256) of the safetensors file."""
    config: str
    """JSON with sorted keys."""
    sample_rate: int
    reasoning_hop_samples: int
    reconstruction_hop_samples: int
    reasoning_codebook_size: int
    reconstruction_codebook_size: int
    num_codebooks: int
    metrics: list[Metric] = field(default_factory=list)
