"""Discriminators of phase `scalar`: is a waveform recorded or decoded? One small stack of convolutions per resolution of
the complex spectrum (multi-resolution STFT discriminators, as in Défossez et al. 2022).

Reads    24 kHz waveforms `[B, N]`
Writes   per resolution a map of scores and the features before it
"""

# Shapes: B batch, N samples, C channels, T frames, F frequency bins

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import weight_norm

from uniaudio.training.codec.losses import RESOLUTIONS

SLOPE = 0.2
DILATIONS = (1, 2, 4)


class Judged(NamedTuple):
    """What one discriminator says of a batch."""

    scores: Tensor
    """`[B, 1, T, F']`: above zero means recorded."""
    features: list[Tensor]
    """`[B, C, T, F']` each."""


class SpectrumDiscriminator(nn.Module):
    """Dilated convolutions over real and imaginary parts at one resolution."""

    window_N: Tensor

    def __init__(self, window: int, hop: int, channels: int) -> None:
        super().__init__()
        self.window, self.hop = window, hop
        self.register_buffer("window_N", torch.hann_window(window), persistent=False)
        layers = [_convolution(2, channels, (3, 9))]
        layers += [
            _convolution(channels, channels, (3, 9), stride=(1, 2), dilation=(dilation, 1)) for dilation in DILATIONS
        ]
        self.layers = nn.ModuleList([*layers, _convolution(channels, channels, (3, 3))])
        self.out = _convolution(channels, 1, (3, 3))

    def forward(self, waveform_BN: Tensor) -> Judged:
        """Scores and features of `[B, N]`."""
        spectrum_BFT = torch.stft(
            waveform_BN, self.window, self.hop, window=self.window_N, normalized=True, return_complex=True
        )
        x_BCTF = torch.stack([spectrum_BFT.real, spectrum_BFT.imag], dim=1).transpose(2, 3)
        features: list[Tensor] = []
        for layer in self.layers:
            x_BCTF = leaky_relu(layer(x_BCTF), SLOPE)
            features.append(x_BCTF)
        return Judged(self.out(x_BCTF), features)


class Discriminators(nn.Module):
    """One `SpectrumDiscriminator` a resolution of the spectral loss."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resolutions = nn.ModuleList(SpectrumDiscriminator(window, hop, channels) for window, hop in RESOLUTIONS)

    def forward(self, waveform_BN: Tensor) -> list[Judged]:
        """What each resolution says of `[B, N]`."""
        return [resolution(waveform_BN) for resolution in self.resolutions]

    @contextmanager
    def as_judge(self) -> Iterator[None]:
        """What is computed meanwhile gives no gradient to the discriminators, but passes one to the waveform."""
        self.requires_grad_(False)
        try:
            yield
        finally:
            self.requires_grad_(True)


def discriminator_loss(real: list[Judged], decoded: list[Judged]) -> Tensor:
    """Hinge loss, mean over resolutions: 2 where nothing is told apart, 0 where everything is by a margin of 1."""
    losses = [
        torch.relu(1 - one.scores).mean() + torch.relu(1 + other.scores).mean()
        for one, other in zip(real, decoded, strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial_loss(decoded: list[Judged]) -> Tensor:
    """Mean over resolutions of how far the decoded audio is from being taken for recorded (hinge)."""
    return torch.stack([torch.relu(1 - judged.scores).mean() for judged in decoded]).mean()


def feature_loss(real: list[Judged], decoded: list[Judged], sizes: list[Tensor] | None = None) -> Tensor:
    """Mean absolute difference of the features over the mean size of the recorded ones, over layers and resolutions. `sizes`: those
    of a larger batch that this is a part of."""
    pairs = [
        (theirs.detach(), ours)
        for one, other in zip(real, decoded, strict=True)
        for theirs, ours in zip(one.features, other.features, strict=True)
    ]
    losses = [
        (ours - theirs).abs().mean() / size.clamp(min=1e-5)
        for (theirs, ours), size in zip(pairs, sizes or feature_sizes(real), strict=True)
    ]
    return torch.stack(losses).mean()


def feature_sizes(real: list[Judged]) -> list[Tensor]:
    """Mean size of the features of each layer of each resolution."""
    return [features.detach().abs().mean() for one in real for features in one.features]


def _convolution(
    in_channels: int,
    channels: int,
    kernel: tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> nn.Module:
    padding = (dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2)
    normed: nn.Module = weight_norm(
        nn.Conv2d(in_channels, channels, kernel, stride=stride, dilation=dilation, padding=padding)
    )
    return normed
