"""ConvNeXt blocks over time (Liu et al. 2022): what the spectral autoencoder, the acoustic group and the flow's mean are
made of.

Shapes: B batch, T frames, D width
"""

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """A depthwise convolution over time, then two layers on each frame, added to the input."""

    def __init__(self, dim: int, kernel_size: int, ff_multiplier: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, ff_multiplier * dim)
        self.narrow = nn.Linear(ff_multiplier * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D]` -> `[B, T, D]`."""
        y_BTD = self.norm(self.depthwise(x_BTD.transpose(1, 2)).transpose(1, 2))
        out_BTD: Tensor = x_BTD + self.scale * self.narrow(nn.functional.gelu(self.wide(y_BTD)))
        return out_BTD


class Blocks(nn.Sequential):
    """A sequence of blocks. The residual scale of each starts at 1 / number of blocks."""

    def __init__(self, dim: int, num_layers: int, kernel_size: int, ff_multiplier: int) -> None:
        super().__init__(*(Block(dim, kernel_size, ff_multiplier, 1 / num_layers) for _ in range(num_layers)))
