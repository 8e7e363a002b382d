"""Flow transformer: predicts the velocity of scalar latents, modulated by the flow time.

Reads    noisy latent, context latent and condition side by side, `[B, T, C]`, and the flow time `[B]`
Writes   the velocity `[B, T, latent_dim]`
"""

# Shapes: B batch, T frames, C input channels, D width, H heads, E head width, L latent channels

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from uniaudio.codec.config.parts import FlowConfig
from uniaudio.codec.recomputation import Recomputation, recomputed

NORM_EPSILON = 1e-6
# Flow time 0..1 is encoded like the thousand diffusion steps the architecture comes from.
TIME_SCALE = 1000.0
SINUSOID_BASE = 10_000.0


class FlowTransformer(nn.Module):
    """Bidirectional transformer whose every block is shifted, scaled and gated by the flow time."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.project_in = ConvProjection(config.input_dim, config.dim)
        self.time = TimeEmbedding(config.time_dim, config.dim)
        self.blocks = nn.ModuleList(FlowBlock(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim, eps=NORM_EPSILON, elementwise_affine=False)
        self.modulation = nn.Parameter(torch.randn(2, config.dim) * config.dim**-0.5)
        self.project_out = ConvProjection(config.dim, config.latent_dim)

    def forward(self, x_BTC: Tensor, time_B: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        """`[B, T, C]`, `[B]` in 0..1 -> `[B, T, L]`; frames where `valid_BT` is False are attended by nobody.

        Without `valid_BT` padding takes part in attention, as in the released codec.
        """
        h_BTD = self.project_in(x_BTC)
        h_BTD = h_BTD + sinusoid_positions(h_BTD.shape[1], h_BTD.shape[2], h_BTD.device).to(h_BTD.dtype)
        embedding_BD, shared_B6D = self.time(time_B)
        for block in self.blocks:
            h_BTD = block(h_BTD, shared_B6D, valid_BT)
        shift_B1D, scale_B1D = (self.modulation + embedding_BD[:, None]).chunk(2, dim=1)
        out_BTD: Tensor = self.project_out(self.norm(h_BTD) * (1 + scale_B1D) + shift_B1D)
        return out_BTD


class FlowBlock(nn.Module):
    """Attention, then a feed-forward layer; norms without parameters, modulation from a table plus the shared time."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        dim = config.dim
        self.head_dim = dim // config.num_heads
        self.recomputation: Recomputation = "none"
        self.modulation = nn.Parameter(torch.randn(6, dim) * dim**-0.5)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPSILON, elementwise_affine=False)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.attention_out = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, config.ff_multiplier * dim),
            nn.GELU(approximate="tanh"),
            nn.Linear(config.ff_multiplier * dim, dim),
        )

    def forward(self, h_BTD: Tensor, shared_B6D: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        """`[B, T, D]`, `[B, 6, D]` -> `[B, T, D]`."""
        out_BTD: Tensor = recomputed(self._add, self.recomputation, h_BTD, shared_B6D, valid_BT)
        return out_BTD

    def _add(self, h_BTD: Tensor, shared_B6D: Tensor, valid_BT: Tensor | None) -> Tensor:
        modulation = (self.modulation + shared_B6D).chunk(6, dim=1)
        attention_shift, attention_scale, attention_gate, ff_shift, ff_scale, ff_gate = modulation
        h_BTD = h_BTD + attention_gate * self._attend(
            self.norm(h_BTD) * (1 + attention_scale) + attention_shift, valid_BT
        )
        out_BTD: Tensor = h_BTD + ff_gate * self.feed_forward(self.norm(h_BTD) * (1 + ff_scale) + ff_shift)
        return out_BTD

    def _attend(self, x_BTD: Tensor, valid_BT: Tensor | None) -> Tensor:
        heads = [
            layer(x_BTD).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        ]
        mask = None if valid_BT is None else valid_BT[:, None, None, :]
        mixed_BHTE = scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=mask)
        attended_BTD: Tensor = self.attention_out(mixed_BHTE.transpose(1, 2).flatten(2))
        return attended_BTD


class ConvProjection(nn.Module):
    """A three-frame convolution, rescaled by the root of its width, and a linear layer."""

    def __init__(self, input_dim: int, output_dim: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(input_dim, output_dim, kernel_size=3, padding=1)
        self.linear = nn.Linear(output_dim, output_dim)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """`[B, T, C]` -> `[B, T, D]`."""
        out_BTD: Tensor = self.linear(self.convolution(x_BTC.transpose(1, 2)).transpose(1, 2) * 3**-0.5)
        return out_BTD


class TimeEmbedding(nn.Module):
    """Flow time to the embedding of the last norm and the six modulation vectors all blocks share."""

    def __init__(self, time_dim: int, dim: int) -> None:
        super().__init__()
        self.time_dim = time_dim
        self.layers = nn.Sequential(nn.Linear(time_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.modulation = nn.Linear(dim, 6 * dim)

    def forward(self, time_B: Tensor) -> tuple[Tensor, Tensor]:
        """`[B]` -> `[B, D]`, `[B, 6, D]`."""
        sinusoid = sinusoid_time(time_B, self.time_dim).to(self.modulation.weight.dtype)
        embedding_BD = self.layers(sinusoid)
        return embedding_BD, self.modulation(nn.functional.silu(embedding_BD)).unflatten(-1, (6, -1))


def sinusoid_time(time_B: Tensor, time_dim: int) -> Tensor:
    """`[B]` -> `[B, time_dim]` float32: all cosines, then all sines."""
    half = time_dim // 2
    exponent = -math.log(SINUSOID_BASE) * torch.arange(half, dtype=torch.float32, device=time_B.device) / half
    # Scaled last: the phases reach a thousand, where another order of rounding shows in the fifth digit.
    angle = TIME_SCALE * (time_B.float()[:, None] * exponent.exp())
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def sinusoid_positions(num_frames: int, dim: int, device: torch.device) -> Tensor:
    """`[T, D]` float32: sine and cosine interleaved."""
    frequency = torch.exp(
        torch.arange(0, dim, 2, dtype=torch.float32, device=device) * (-math.log(SINUSOID_BASE) / dim)
    )
    angle = torch.arange(num_frames, dtype=torch.float32, device=device)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
