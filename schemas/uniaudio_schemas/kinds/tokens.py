"""`tokens`: one clip under one codec.

Written by  instructions_to_tokens
Read by     tokens_to_sequences

The codec's fingerprint and the numerics stand in the shard's schema metadata (`codec_fingerprint`, `numerics`): one shard never mixes two.

One row:
    {"clip_id": "5f1c…", "num_samples": 69105, "reasoning_codes": [[12, 3, …8], …R], "reconstruction_codes": [[99, 4, …8], …T]}
"""

from dataclasses import dataclass

from uniaudio_schemas.kinds.ids import ClipId
from uniaudio_schemas.kinds.record import Codes, schema


@schema("tokens", version=1, id_field="clip_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    clip_id: ClipId
    num_samples: int
    """Length of the clip in samples at 24 kHz."""
    reasoning_codes: Codes
    """`[R, 8]` int16, R = ceil(num_samples / 4800)."""
    reconstruction_codes: Codes
    """`[T, 8]` int16, T = ceil(num_samples / 1920)."""
