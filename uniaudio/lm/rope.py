"""Rotary position embedding, half-split, computed for the positions at hand instead of kept as a table.

Shapes: B batch, S positions, H heads, E head size.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio.lm.config import RopeConfig


@dataclass(frozen=True, slots=True)
class Rotation:
    """Cosines and sines of some positions, float32 `[B or 1, 1, S, E]`."""

    cos: Tensor
    sin: Tensor


def inverse_frequencies(config: RopeConfig, head_size: int, device: torch.device | None = None) -> Tensor:
    """Radians a position, float32 `[E / 2]`."""
    exponents = torch.arange(0, head_size, 2, device=device, dtype=torch.float32) / head_size
    theta = 1.0 / config.base**exponents
    if config.factor == 1.0:
        return theta
    ratio = config.original_context * theta / (2 * math.pi)
    span = config.high_frequency_factor - config.low_frequency_factor
    share = ((ratio - config.low_frequency_factor) / span).clamp(0.0, 1.0)
    return (1 - share) * theta / config.factor + share * theta


def rotation(config: RopeConfig, positions_BS: Tensor, head_size: int) -> Rotation:
    """The rotation of every position; `positions_BS` is int64 `[B, S]` or `[1, S]`."""
    theta = inverse_frequencies(config, head_size, positions_BS.device)
    angles = positions_BS[:, None, :, None].to(torch.float32) * theta
    angles = torch.cat([angles, angles], dim=-1)
    return Rotation(cos=angles.cos(), sin=angles.sin())


def rotate(x_BHSE: Tensor, by: Rotation) -> Tensor:
    """Rotates queries or keys in float32 and returns them in their own dtype."""
    x = x_BHSE.to(torch.float32)
    first, second = x.chunk(2, dim=-1)
    turned = x * by.cos + torch.cat([-second, first], dim=-1) * by.sin
    return turned.to(x_BHSE.dtype)
