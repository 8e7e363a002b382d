"""Query transformer: one learned query behind every group of frames gathers what the group means.

Reads    features `[B, T, D]` (25 Hz in the released codec)
Writes   one vector per group, `[B, T / group, D]` (5 Hz)
"""

# Shapes: B batch, T frames, G groups, S positions (frames and queries), H heads, E head width, R rotated width, D width

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.parametrizations import weight_norm
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.recomputation import Recomputation, recomputed

ROTARY_BASE = 10_000.0
# At least 32 dimensions of a head are rotated, else half of it (released architecture).
SMALLEST_ROTARY_DIM = 32
LAYER_SCALE_START = 0.01


class QueryTransformer(nn.Module):
    """Bidirectional transformer over frames and queries of the whole window; only the queries are kept."""

    def __init__(
        self, dim: int, num_layers: int, head_dim: int, *, ff_multiplier: int = 4, direct_frames: int = 0
    ) -> None:
        """`direct_frames`: the frames of a group where its query starts with a linear map of them added; 0: it does not."""
        super().__init__()
        self.query = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.direct = nn.Linear(direct_frames * dim, dim) if direct_frames else None
        self.blocks = nn.ModuleList(QueryBlock(dim, head_dim, ff_multiplier=ff_multiplier) for _ in range(num_layers))

    def forward(self, features_BTD: Tensor, group: int = 5, valid_BT: Tensor | None = None) -> Tensor:
        """`[B, T, D]` -> `[B, T / group, D]`; frames where `valid_BT` is False are attended by nobody."""
        num_items, num_frames, dim = features_BTD.shape
        if num_frames % group:
            raise UsageError(f"`features` must hold a multiple of `group` ({group}) frames, but holds {num_frames}.")
        grouped_BGTD = features_BTD.view(num_items, num_frames // group, group, dim)
        query_BG1D = self.query.to(features_BTD.dtype).expand(num_items, num_frames // group, 1, dim)
        if self.direct is not None:
            query_BG1D = query_BG1D + self.direct(grouped_BGTD.flatten(2))[:, :, None]
        positions_BSD = torch.cat([grouped_BGTD, query_BG1D], dim=2).flatten(1, 2)
        positions_BSD = self.transform(positions_BSD, None if valid_BT is None else _valid_positions(valid_BT, group))
        return positions_BSD[:, group :: group + 1]

    def transform(self, positions_BSD: Tensor, valid_BS: Tensor | None = None) -> Tensor:
        """All blocks over `[B, S, D]`."""
        for block in self.blocks:
            positions_BSD = block(positions_BSD, valid_BS)
        return positions_BSD


class QueryBlock(nn.Module):
    """Attention and gated feed-forward, both scaled per channel; there is no norm before either."""

    rotary_frequencies: Tensor

    def __init__(self, dim: int, head_dim: int, *, ff_multiplier: int = 4) -> None:
        super().__init__()
        if dim % head_dim:
            raise UsageError(f"`dim` must be a multiple of `head_dim` ({head_dim}), but is {dim}.")
        self.head_dim = head_dim
        self.recomputation: Recomputation = "none"
        self.qkv = weight_norm(nn.Linear(dim, 3 * dim, bias=False))
        self.attention_out = weight_norm(nn.Linear(dim, dim, bias=False))
        self.query_norm = nn.LayerNorm(head_dim)
        self.key_norm = nn.LayerNorm(head_dim)
        self.attention_scale = nn.Parameter(torch.full((dim,), LAYER_SCALE_START))
        self.ff_in = weight_norm(nn.Linear(dim, 2 * ff_multiplier * dim))
        self.ff_out = weight_norm(nn.Linear(ff_multiplier * dim, dim))
        self.ff_scale = nn.Parameter(torch.full((dim,), LAYER_SCALE_START))
        frequencies_R = rotary_frequencies(min(head_dim, max(head_dim // 2, SMALLEST_ROTARY_DIM)))
        self.register_buffer("rotary_frequencies", frequencies_R, persistent=False)

    def forward(self, x_BSD: Tensor, valid_BS: Tensor | None = None) -> Tensor:
        """`[B, S, D]` -> `[B, S, D]`."""
        out_BSD: Tensor = recomputed(self._add, self.recomputation, x_BSD, valid_BS)
        return out_BSD

    def _add(self, x_BSD: Tensor, valid_BS: Tensor | None) -> Tensor:
        x_BSD = x_BSD + self.attention_scale * self._attend(x_BSD, valid_BS)
        value, gate = self.ff_in(x_BSD).chunk(2, dim=-1)
        out_BSD: Tensor = x_BSD + self.ff_scale * self.ff_out(value * torch.sigmoid(gate))
        return out_BSD

    def _attend(self, x_BSD: Tensor, valid_BS: Tensor | None) -> Tensor:
        heads = [part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in self.qkv(x_BSD).chunk(3, dim=-1)]
        angles_SR = rotary_angles(x_BSD.shape[1], self.rotary_frequencies)
        query_BHSE = rotate(self.query_norm(heads[0]), angles_SR)
        key_BHSE = rotate(self.key_norm(heads[1]), angles_SR)
        mask = None if valid_BS is None else valid_BS[:, None, None, :]
        mixed_BHSE = scaled_dot_product_attention(query_BHSE, key_BHSE, heads[2], attn_mask=mask)
        attended_BSD: Tensor = self.attention_out(mixed_BHSE.transpose(1, 2).flatten(2))
        return attended_BSD


def rotary_frequencies(rotary_dim: int) -> Tensor:
    """Angle per position, `[R / 2]` float32."""
    return 1.0 / ROTARY_BASE ** (torch.arange(0, rotary_dim, 2, dtype=torch.float32) / rotary_dim)


def rotary_angles(num_positions: int, frequencies: Tensor) -> Tensor:
    """`[S, R]` float32; both halves hold the same angles."""
    position_S = torch.arange(num_positions, device=frequencies.device, dtype=torch.float32)
    return torch.outer(position_S, frequencies.float()).repeat(1, 2)


def rotate(x_BHSE: Tensor, angles_SR: Tensor) -> Tensor:
    """Turn the first R dimensions of every head by its position's angles, in float32, half against half."""
    rotary_dim = angles_SR.shape[-1]
    turned, unturned = x_BHSE[..., :rotary_dim].float(), x_BHSE[..., rotary_dim:]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * angles_SR.cos() + torch.cat([-second, first], dim=-1) * angles_SR.sin()
    return torch.cat([turned.to(x_BHSE.dtype), unturned], dim=-1)


def _valid_positions(valid_BT: Tensor, group: int) -> Tensor:
    """`[B, T]` -> `[B, S]`: a query takes part where any frame of its group does."""
    grouped_BGT = valid_BT.unflatten(1, (-1, group))
    return torch.cat([grouped_BGT, grouped_BGT.any(dim=2, keepdim=True)], dim=2).flatten(1, 2)
