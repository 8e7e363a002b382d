"""Semantic decoder: quantized frames back to an encoder's features, a training loss for the semantic groups.

Reads    quantized features `[B, T, D]` at 12.5 Hz
Writes   features `[B, T * product of strides, output_dim]`, compared with what WavLM or the music encoder said
"""

# Shapes: B batch, T frames, D width, C channels

from torch import Tensor, nn
from torch.nn.functional import elu
from uniaudio_schemas.errors import UsageError

UNITS_PER_STAGE = 2


class SemanticDecoder(nn.Module):
    """Convolutions that raise the rate by each stride (1 or 2)."""

    def __init__(self, input_dim: int, dim: int, output_dim: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.convolution_in = nn.Conv1d(input_dim, dim, kernel_size=3, padding=1, bias=False)
        self.stages = nn.ModuleList(_Stage(dim, stride) for stride in strides)
        self.convolution_out = nn.Conv1d(dim, output_dim, kernel_size=3, padding=1, bias=False)

    def forward(self, features_BTD: Tensor) -> Tensor:
        """`[B, T, D]` -> `[B, T * product of strides, output_dim]`."""
        x_BCT = self.convolution_in(features_BTD.transpose(1, 2))
        for stage in self.stages:
            x_BCT = stage(x_BCT)
        out_BTD: Tensor = self.convolution_out(x_BCT).transpose(1, 2)
        return out_BTD


class _Stage(nn.Module):
    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        self.convolution: nn.Module
        if stride == 1:
            self.convolution = nn.Conv1d(dim, dim, kernel_size=3, padding=1)
        elif stride == 2:
            self.convolution = nn.ConvTranspose1d(dim, dim, kernel_size=4, stride=2, padding=1)
        else:
            raise UsageError(f"`strides` must be 1 or 2 each, but one is {stride}.")
        self.units = nn.ModuleList(_ResidualUnit(dim) for _ in range(UNITS_PER_STAGE))

    def forward(self, x_BCT: Tensor) -> Tensor:
        x_BCT = self.convolution(x_BCT)
        for unit in self.units:
            x_BCT = unit(x_BCT)
        return x_BCT


class _ResidualUnit(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.wide = nn.Conv1d(dim, dim, kernel_size=3, padding=1, bias=False)
        self.narrow = nn.Conv1d(dim, dim, kernel_size=1, bias=False)

    def forward(self, x_BCT: Tensor) -> Tensor:
        out_BTD: Tensor = x_BCT + self.narrow(elu(self.wide(elu(x_BCT))))
        return out_BTD
