"""One new position through a stack, as decoding does hundreds of times: the same function as `Stack.forward`, in fewer
operations and with the weights laid out for few rows.

A step reads every weight once and computes little, so it costs what reading costs. On a CPU, float32 matrices are read
fastest as columns for one row, and in oneDNN's own blocks for several: measured at 512 wide, 0.68 and 0.42 of the time of
`F.linear`. The laid-out copies are kept as long as their modules and made anew when the weights change. Models above
`MAX_COPIED` parameters keep one copy alone, but for the local decoder, which every frame reads eight times.

Shapes: B rows, D width, H query heads, G key and value heads, E head size.
"""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from uniaudio.lm.blocks import Attend, Block, RMSNorm, Stack
    from uniaudio.lm.cache import KVCache

MAX_COPIED = 1_000_000_000
"""Parameters of the largest model whose trunk is kept twice."""
MIN_BLOCKED = 1 << 15
"""Elements of the smallest matrix for which oneDNN's call is worth its overhead."""

PLAIN, COLUMNS, BLOCKS = "plain", "columns", "blocks"


class Matrix:
    """A linear layer's weight, laid out for steps of about `num_rows` rows."""

    __slots__ = ("layout", "weight")

    def __init__(self, linear: nn.Linear, num_rows: int, *, may_copy: bool) -> None:
        weight = linear.weight.detach()
        self.layout = _layout_of(weight, num_rows) if may_copy else PLAIN
        self.weight = weight if self.layout == PLAIN else _laid_out(linear, weight, self.layout)

    def __call__(self, x: Tensor) -> Tensor:
        if self.layout == COLUMNS:
            return x @ self.weight
        if self.layout == BLOCKS:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, None, "none", [], "")
            return product
        return F.linear(x, self.weight)


def _layout_of(weight: Tensor, num_rows: int) -> str:
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return PLAIN
    if num_rows == 1:
        return COLUMNS
    return BLOCKS if weight.numel() >= MIN_BLOCKED and torch.backends.mkldnn.is_available() else PLAIN


_Copy = tuple[tuple[int, int, str], Tensor]
_copies: WeakKeyDictionary[nn.Linear, _Copy] = WeakKeyDictionary()


def _laid_out(linear: nn.Linear, weight: Tensor, layout: str) -> Tensor:
    """The kept copy, made anew where the weight was written to or moved."""
    key = (linear.weight._version, weight.data_ptr(), layout)
    kept = _copies.get(linear)
    if kept is None or kept[0] != key:
        copy = weight.t().contiguous()
        if layout == BLOCKS:
            copy = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        kept = _copies[linear] = (key, copy)
    return kept[1]


class _LayerSteps:
    """One block."""

    def __init__(self, block: "Block", num_rows: int, may_copy: bool) -> None:
        attention, mlp = block.attention, block.mlp
        self.num_heads, self.num_kv_heads = attention.num_heads, attention.num_kv_heads
        self.head_size = attention.head_size
        self.attention_norm, self.mlp_norm = _Norm(block.attention_norm), _Norm(block.mlp_norm)
        layers = (attention.qkv, attention.out, mlp.gate, mlp.up, mlp.down)
        self.qkv, self.out, self.gate, self.up, self.down = (
            Matrix(layer, num_rows, may_copy=may_copy) for layer in layers
        )

    def __call__(
        self, x_B1D: Tensor, turn: tuple[Tensor, Tensor], attend: "Attend", cache: "KVCache", at: int
    ) -> Tensor:
        num_turned, num_heads = self.num_heads + self.num_kv_heads, self.num_heads
        heads = self.qkv(self.attention_norm(x_B1D)).view(len(x_B1D), -1, 1, self.head_size)
        turned = _turn(heads[:, :num_turned], turn)
        keys, values = cache.put(at, turned[:, num_heads:], heads[:, num_turned:], attend.slots)
        mask = None if attend.mask_BSK is None else attend.mask_BSK[:, None]
        mixed = F.scaled_dot_product_attention(
            turned[:, :num_heads],
            keys[:, :, : attend.num_keys],
            values[:, :, : attend.num_keys],
            mask,
            enable_gqa=num_heads != self.num_kv_heads,
        )
        x_B1D = x_B1D + self.out(mixed.reshape(len(x_B1D), 1, -1))
        normed = self.mlp_norm(x_B1D)
        return x_B1D + self.down(F.silu(self.gate(normed), inplace=True).mul_(self.up(normed)))


class StackSteps:
    """A stack for steps of about `num_rows` rows; `may_copy` False leaves its weights as they lie."""

    def __init__(self, stack: "Stack", num_rows: int, *, may_copy: bool) -> None:
        self.norm = _Norm(stack.norm)
        self.layers = [_LayerSteps(block, num_rows, may_copy) for block in stack.blocks()]

    def __call__(self, x_B1D: Tensor, attend: "Attend", cache: "KVCache") -> Tensor:
        """`[B, 1, D]` -> `[B, 1, D]`; keys and values of the position go into `cache`."""
        sin, half = attend.rotation.sin, attend.rotation.sin.shape[-1] // 2
        turn = (attend.rotation.cos, torch.cat([-sin[..., :half], sin[..., half:]], dim=-1))
        for at, layer in enumerate(self.layers):
            x_B1D = layer(x_B1D, turn, attend, cache, at)
        return self.norm(x_B1D)


class _Norm:
    """`RMSNorm` in four operations: one product gives the mean square plus epsilon."""

    def __init__(self, norm: "RMSNorm") -> None:
        self.weight = norm.weight.detach().to(torch.float32)
        self.eps = self.weight.new_full((1, 1, 1), norm.eps)

    def __call__(self, x_B1D: Tensor) -> Tensor:
        x = x_B1D.to(torch.float32)
        scale_B11 = torch.baddbmm(self.eps, x, x.transpose(1, 2), alpha=1 / x.shape[-1]).rsqrt_()
        return (x * scale_B11).mul_(self.weight).to(x_B1D.dtype)


def _turn(x_BHSE: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """`rope.rotate` with the sign in the sine: rolling a head by half its size swaps its halves."""
    x, (cos, signed_sin) = x_BHSE.to(torch.float32), turn
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), signed_sin).to(x_BHSE.dtype)
