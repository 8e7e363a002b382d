"""Music encoder (MusicFM architecture): convolutions over a mel spectrogram, then a conformer with rotary positions.

Reads    24 kHz waveform `[B, N]`, N a multiple of 960 samples
Writes   hidden states `[B, N / 960, D]` (25 Hz)
"""

# Shapes: B batch, N samples, M mel bands, T frames, C channels, D width, H heads, E head width

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from uniaudio.audio.mel import music_log_mel
from uniaudio.codec.config.presets import TransformerConfig
from uniaudio.codec.query_transformer import rotary_angles, rotary_frequencies, rotate

NUM_MELS = 128
DEPTHWISE_KERNEL = 31


class MusicEncoder(nn.Module):
    """Front end, a linear layer, and as many conformer blocks as the highest state in use needs."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.layers = config.layers
        self.front_end = nn.Sequential(
            ResidualConv2d(1, config.conv_dim), ResidualConv2d(config.conv_dim, config.conv_dim)
        )
        self.project = nn.Linear(config.conv_dim * NUM_MELS // 4, config.dim)
        self.blocks = nn.ModuleList(ConformerBlock(config) for _ in range(config.num_layers))

    def forward(self, waveform_BN: Tensor) -> list[Tensor]:
        """The states in `layers`, each `[B, T, D]`; state k is the output of block k."""
        states = self.all_states(music_log_mel(waveform_BN), max(self.layers))
        return [states[layer] for layer in self.layers]

    def all_states(self, mel_BMT: Tensor, num_blocks: int | None = None) -> list[Tensor]:
        """The input of the first block and the outputs of the first `num_blocks`, from `[B, 128, 4 T]`."""
        x_BCMT = self.front_end(mel_BMT[:, None])
        states = [self.project(x_BCMT.flatten(1, 2).transpose(1, 2))]
        for block in self.blocks[:num_blocks]:
            states.append(block(states[-1]))
        return states


class ResidualConv2d(nn.Module):
    """Two 3x3 convolutions and a shortcut; halves both axes."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.first = _conv_norm(in_channels, channels, stride=2)
        self.second = _conv_norm(channels, channels, stride=1)
        self.shortcut = _conv_norm(in_channels, channels, stride=2)

    def forward(self, x_BCMT: Tensor) -> Tensor:
        """`[B, C, M, T]` -> `[B, C', M / 2, T / 2]`."""
        return torch.relu(self.second(torch.relu(self.first(x_BCMT))) + self.shortcut(x_BCMT))


class ConformerBlock(nn.Module):
    """Half a feed-forward layer, attention, a convolution, the other half, a norm."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.ff_before = _feed_forward(config)
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = RotaryAttention(config.dim, config.num_heads)
        self.convolution = ConvolutionModule(config.dim)
        self.ff_after = _feed_forward(config)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D]` -> `[B, T, D]` (Gulati et al. 2020)."""
        x_BTD = x_BTD + 0.5 * self.ff_before(x_BTD)
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD))
        x_BTD = x_BTD + self.convolution(x_BTD)
        out_BTD: Tensor = self.norm(x_BTD + 0.5 * self.ff_after(x_BTD))
        return out_BTD


class RotaryAttention(nn.Module):
    """Self-attention whose positions are rotated into the input, before the query and key projections."""

    frequencies: Tensor

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.head_dim = dim // num_heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.register_buffer("frequencies", rotary_frequencies(self.head_dim), persistent=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D]` -> `[B, T, D]`; every frame sees every other."""
        angles_TE = rotary_angles(x_BTD.shape[1], self.frequencies)
        turned_BTD = rotate(self._heads(x_BTD), angles_TE).transpose(1, 2).flatten(2)
        query_BHTE, key_BHTE = self._heads(self.query(turned_BTD)), self._heads(self.key(turned_BTD))
        mixed_BHTE = scaled_dot_product_attention(query_BHTE, key_BHTE, self._heads(self.value(x_BTD)))
        out_BTD: Tensor = self.out(mixed_BHTE.transpose(1, 2).flatten(2))
        return out_BTD

    def _heads(self, x_BTD: Tensor) -> Tensor:
        heads_BHTE: Tensor = x_BTD.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        return heads_BHTE


class ConvolutionModule(nn.Module):
    """Gated pointwise, depthwise and pointwise convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.gated = nn.Conv1d(dim, 2 * dim, 1, bias=False)
        self.depthwise = nn.Conv1d(dim, dim, DEPTHWISE_KERNEL, padding=DEPTHWISE_KERNEL // 2, groups=dim, bias=False)
        self.depthwise_norm = nn.BatchNorm1d(dim)
        self.pointwise = nn.Conv1d(dim, dim, 1, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D]` -> `[B, T, D]`, without the shortcut."""
        x_BDT = nn.functional.glu(self.gated(self.norm(x_BTD).transpose(1, 2)), dim=1)
        x_BDT = silu(self.depthwise_norm(self.depthwise(x_BDT)))
        out_BTD: Tensor = self.pointwise(x_BDT).transpose(1, 2)
        return out_BTD


def _conv_norm(in_channels: int, channels: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1), nn.BatchNorm2d(channels))


def _feed_forward(config: TransformerConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(config.dim), nn.Linear(config.dim, config.ff_dim), nn.SiLU(), nn.Linear(config.ff_dim, config.dim)
    )
