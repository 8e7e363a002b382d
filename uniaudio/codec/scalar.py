"""Scalar autoencoder: waveform to bounded latents at 25 Hz and back.

Reads    24 kHz waveform `[B, N]` float32, N a multiple of the hop (960 samples in the released codec)
Writes   latents `[B, N / hop, latent_dim]` in -1..1; a waveform from latents rounded to ninths
"""

# Shapes: B batch, N samples, T latent frames, C channels, L latent channels

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.parametrizations import weight_norm

from uniaudio.codec.autoencoder import Autoencoder
from uniaudio.codec.config.parts import ScalarConfig

DILATIONS = (1, 3, 5, 7, 9)


class ScalarAutoencoder(Autoencoder):
    """Strided convolutions down to latents, transposed ones up again."""

    encoder: "ScalarEncoder"
    decoder: "ScalarDecoder"

    def __init__(self, config: ScalarConfig) -> None:
        super().__init__(ScalarEncoder(config), ScalarDecoder(config))
        self.config = config

    @property
    def reach(self) -> tuple[int, int]:
        """The reach, computed from the shapes of the decoder."""
        return scalar_reach(self.config)


class ScalarEncoder(nn.Module):
    """Waveform `[B, N]` (`[B, bands, N]` with several bands) to `[B, L, T]`."""

    def __init__(self, config: ScalarConfig) -> None:
        super().__init__()
        width = config.initial_channels
        self.convolution_in = _convolution(config.num_bands, width, config.kernel_size, causal=config.causal)
        self.pool = PoolStage(config) if config.pool_samples > 1 else None
        # One slope for all down-sampling stages: the released weights hold a single shared one.
        self.shared_slope = nn.PReLU()
        stages: list[DownStage] = []
        for stride, kernel_size in zip(config.strides, config.down_kernel_sizes, strict=True):
            stages.append(DownStage(config, width, stride, kernel_size))
            width *= 2
        self.stages = nn.ModuleList(stages)
        self.convolution_out = _convolution(width, config.latent_dim, config.kernel_size, causal=config.causal)

    def forward(self, waveform_BN: Tensor) -> Tensor:
        """`[B, N]` or `[B, bands, N]` -> `[B, L, N / hop]` in -1..1."""
        x_BCN = waveform_BN.unsqueeze(1) if waveform_BN.dim() == 2 else waveform_BN
        x_BCN = self.convolution_in(x_BCN)
        if self.pool is not None:
            x_BCN = self.pool(x_BCN)
        for stage in self.stages:
            x_BCN = self.shared_slope(stage(x_BCN))
        return torch.tanh(self.convolution_out(x_BCN))


class ScalarDecoder(nn.Module):
    """`[B, L, T]` to waveform `[B, N]` (`[B, bands, N]` with several bands)."""

    def __init__(self, config: ScalarConfig) -> None:
        super().__init__()
        width = config.initial_channels * 2 ** len(config.strides)
        # Looks ahead even in a causal model.
        self.convolution_in = _convolution(config.latent_dim, width, config.look_ahead_kernel_size, causal=False)
        stages: list[UpStage] = []
        for stride, kernel_size in zip(reversed(config.strides), config.up_kernel_sizes, strict=True):
            stages.append(UpStage(config, width, stride, kernel_size))
            width //= 2
        self.stages = nn.ModuleList(stages)
        self.unpool = UnpoolStage(config) if config.pool_samples > 1 else None
        self.convolution_out = _convolution(width, config.num_bands, config.kernel_size, causal=config.causal)
        self.num_bands = config.num_bands

    def forward(self, latents_BLT: Tensor) -> Tensor:
        """`[B, L, T]` -> `[B, T * hop]` or `[B, bands, T * hop]`."""
        x_BCN = self.convolution_in(latents_BLT)
        for stage in self.stages:
            x_BCN = stage(x_BCN)
        if self.unpool is not None:
            x_BCN = self.unpool(x_BCN)
        waveform_BCN = self.convolution_out(x_BCN)
        out_BCN: Tensor = waveform_BCN.squeeze(1) if self.num_bands == 1 else waveform_BCN
        return out_BCN


class DownStage(nn.Module):
    """Five residual units, then a strided convolution that doubles the channels."""

    def __init__(self, config: ScalarConfig, channels: int, stride: int, kernel_size: int) -> None:
        super().__init__()
        self.units = _residual_units(config, channels)
        self.convolution = _convolution(channels, 2 * channels, kernel_size, causal=config.causal, stride=stride)

    def forward(self, x_BCN: Tensor) -> Tensor:
        """`[B, C, N]` -> `[B, 2C, N / stride]`."""
        out_BCN: Tensor = self.convolution(self.units(x_BCN))
        return out_BCN


class UpStage(nn.Module):
    """A transposed convolution that halves the channels, then five residual units."""

    def __init__(self, config: ScalarConfig, channels: int, stride: int, kernel_size: int) -> None:
        super().__init__()
        padding = 0 if config.causal else (kernel_size - stride) // 2
        self.transposed = weight_norm(
            nn.ConvTranspose1d(channels, channels // 2, kernel_size, stride=stride, padding=padding)
        )
        self.num_dropped = stride if config.causal else 0
        self.units = _residual_units(config, channels // 2)

    def forward(self, x_BCN: Tensor) -> Tensor:
        """`[B, C, N]` -> `[B, C / 2, N * stride]`."""
        raised_BCN = self.transposed(x_BCN)
        out_BCN: Tensor = self.units(raised_BCN[..., : raised_BCN.shape[-1] - self.num_dropped])
        return out_BCN


class ResidualUnit(nn.Module):
    """A dilated convolution and a pointwise one, added to the input."""

    def __init__(self, config: ScalarConfig, channels: int, dilation: int) -> None:
        super().__init__()
        kernel_size = config.residual_kernel_size
        self.wide = _convolution(channels, channels, kernel_size, causal=config.causal, dilation=dilation)
        self.wide_slope = nn.PReLU()
        self.narrow = _convolution(channels, channels, 1, causal=config.causal)
        self.narrow_slope = nn.PReLU()

    def forward(self, x_BCN: Tensor) -> Tensor:
        """`[B, C, N]` -> `[B, C, N]`."""
        out_BCN: Tensor = x_BCN + self.narrow_slope(self.narrow(self.wide_slope(self.wide(x_BCN))))
        return out_BCN


class PoolStage(nn.Module):
    """Convolution and average of every `pool_samples` samples."""

    def __init__(self, config: ScalarConfig) -> None:
        super().__init__()
        channels = config.initial_channels
        self.convolution = PaddedConv1d(channels, channels, config.kernel_size, causal=config.causal)
        self.slope = nn.PReLU()
        self.pool = nn.AvgPool1d(config.pool_samples)

    def forward(self, x_BCN: Tensor) -> Tensor:
        """`[B, C, N]` -> `[B, C, N / pool_samples]`."""
        out_BCN: Tensor = self.pool(self.slope(self.convolution(x_BCN)))
        return out_BCN


class UnpoolStage(nn.Module):
    """Every frame repeated `pool_samples` times, and a convolution."""

    def __init__(self, config: ScalarConfig) -> None:
        super().__init__()
        channels = config.initial_channels
        self.pool_samples = config.pool_samples
        self.convolution = PaddedConv1d(channels, channels, config.kernel_size, causal=config.causal)
        self.slope = nn.PReLU()

    def forward(self, x_BCN: Tensor) -> Tensor:
        """`[B, C, N]` -> `[B, C, N * pool_samples]`."""
        out_BCN: Tensor = self.slope(self.convolution(x_BCN.repeat_interleave(self.pool_samples, dim=-1)))
        return out_BCN


class PaddedConv1d(nn.Conv1d):
    """A convolution that keeps `N / stride` frames: all padding on the left when causal, else on both sides."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, causal: bool, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation)
        span = dilation * (kernel_size - 1)
        self.num_left = span if causal else span // 2
        self.num_right = 0 if causal else span // 2

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, N]` -> `[B, C', N / stride]`, padded before it (causal) or on both sides."""
        return super().forward(pad(input, (self.num_left, self.num_right)))


def scalar_reach(config: ScalarConfig) -> tuple[int, int]:
    """Latents before and behind a frame that its samples depend on, from the shapes of the scalar decoder."""

    def convolve(reach: tuple[int, int], span: int) -> tuple[int, int]:
        on_left = span if config.causal else span // 2
        return reach[0] + on_left, reach[1] + (0 if config.causal else span // 2)

    reach = convolve((0, 0), config.kernel_size - 1)
    if config.pool_samples > 1:
        left, right = convolve(reach, config.kernel_size - 1)
        reach = -(-left // config.pool_samples), -(-right // config.pool_samples)
    stages = list(zip(reversed(config.strides), config.up_kernel_sizes, strict=True))
    for stride, kernel_size in reversed(stages):
        for dilation in DILATIONS:
            reach = convolve(reach, dilation * (config.residual_kernel_size - 1))
        cut = 0 if config.causal else (kernel_size - stride) // 2
        reach = (reach[0] + kernel_size - 1) // stride, (reach[1] + stride - 1 + cut) // stride
    look_ahead = config.look_ahead_kernel_size // 2
    return reach[0] + look_ahead, reach[1] + look_ahead


def _convolution(
    in_channels: int, out_channels: int, kernel_size: int, *, causal: bool, stride: int = 1, dilation: int = 1
) -> nn.Module:
    normed: nn.Module = weight_norm(
        PaddedConv1d(in_channels, out_channels, kernel_size, causal=causal, stride=stride, dilation=dilation)
    )
    return normed


def _residual_units(config: ScalarConfig, channels: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualUnit(config, channels, dilation) for dilation in DILATIONS))
