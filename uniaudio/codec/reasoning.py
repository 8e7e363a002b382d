"""Reasoning branch: what is said, meant and heard, in eight codes five times a second.

Reads    Whisper states `[B, T50, D]` and the music encoder's semantic state `[B, T25, D]`
Writes   reasoning codes `[B, R, 8]` (5 Hz) and the vectors they stand for
"""

# Shapes: B batch, T25 and T50 frames at 25 and 50 Hz, R reasoning frames (5 Hz), Q levels, D width

from typing import NamedTuple

import torch
from torch import Tensor, nn

from uniaudio.codec.config.presets import CodecConfig, QuantizerConfig
from uniaudio.codec.ctc import CtcHead
from uniaudio.codec.encoders.frozen import Features
from uniaudio.codec.quantize import ResidualVQ
from uniaudio.codec.query_transformer import QueryTransformer

FRAMES_PER_QUERY = 5


class Reasoned(NamedTuple):
    """What the branch makes of a batch."""

    hidden: Tensor
    """`[B, R, D]`, before quantization."""
    quantized: Tensor
    """`[B, R, D]`."""
    codes: Tensor
    """`[B, R, Q]` int64."""
    commitment: Tensor
    """`[Q]` losses."""


class ReasoningBranch(nn.Module):
    """Merge two encoders at 25 Hz, gather every five frames in a query, quantize."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.whisper_down = nn.Conv1d(config.whisper.dim, config.whisper.dim, 2, stride=2)
        self.merge = nn.Linear(config.whisper.dim + config.music.dim, config.dim)
        self.query_transformer = QueryTransformer(
            config.dim,
            config.num_reasoning_layers,
            config.reasoning_head_dim,
            direct_frames=FRAMES_PER_QUERY if config.has_direct_queries else 0,
        )
        self.quantizer = build_quantizer(config.dim, config.reasoning)
        self.ctc = CtcHead(config.dim, config.num_ctc_slots) if config.num_ctc_slots else None

    def hidden(self, features: Features, valid_BT: Tensor | None = None) -> Tensor:
        """`[B, R, D]`; `valid_BT` marks the 25 Hz frames that take part."""
        whisper_BTD = self.whisper_down(features.whisper.transpose(1, 2)).transpose(1, 2)
        # Whisper first: the order of the released weights.
        merged_BTD = self.merge(torch.cat([whisper_BTD, features.music_semantic], dim=-1))
        hidden_BRD: Tensor = self.query_transformer(merged_BTD, FRAMES_PER_QUERY, valid_BT)
        return hidden_BRD

    def forward(self, features: Features, valid_BT: Tensor | None = None) -> Reasoned:
        """Hidden states, quantized states, codes and losses; `valid_BT` as in `hidden`. In train mode the codebooks move."""
        hidden_BRD = self.hidden(features, valid_BT)
        valid_BR = None if valid_BT is None else valid_BT[:, ::FRAMES_PER_QUERY]
        quantized_BRD, codes_BRQ, commitment_Q = self.quantizer(hidden_BRD, valid_BR)
        return Reasoned(hidden_BRD, quantized_BRD, codes_BRQ, commitment_Q)

    def unquantized(self, features: Features, valid_BT: Tensor | None = None) -> Tensor:
        """`[B, R, D]` through both projections but no codebook: how training starts, lest the codebooks collapse."""
        unquantized_BRD: Tensor = self.quantizer.project_out(self.quantizer.code_space(self.hidden(features, valid_BT)))
        return unquantized_BRD

    def freeze(self) -> None:
        """No gradient and no moving average from here on, in train mode too."""
        self.requires_grad_(False)
        self.quantizer.freeze()


def build_quantizer(dim: int, config: QuantizerConfig) -> ResidualVQ:
    """A residual quantizer of the configured shape whose codebooks start by k-means on their first batch."""
    quantizer = ResidualVQ(
        dim,
        config.code_dim,
        config.num_levels,
        config.codebook_size,
        decay=config.decay,
        dead_code_threshold=config.dead_code_threshold,
        kmeans_init=True,
    )
    quantizer.normalizes = config.normalizes
    return quantizer
