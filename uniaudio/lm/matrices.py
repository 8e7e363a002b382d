"""Weights laid out for few rows: what a step of decoding multiplies with.

A step reads every weight once and computes little, so it costs what reading costs. On a CPU small float32 matrices are read
fastest as columns, larger ones and bfloat16 in oneDNN's own blocks, whose products also take the operation that follows with
them. Measured on one EPYC core, a frame's matrices at 512 wide: 0.52 of the time of `F.linear` for one row, 0.43 for eight.

The laid-out copies are kept as long as their modules and made anew when the weights change.

Shapes: B rows, I inputs, O outputs.
"""

from collections.abc import Hashable
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniaudio.products import linear, multiplies_bfloat16, onednn

MIN_BLOCKED = 1 << 19
"""Multiplications of the smallest float32 product for which oneDNN's call is worth its overhead."""


class Matrix:
    """A weight in its original layout."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, x_BI: Tensor) -> Tensor:
        return linear(x_BI, self.weight)

    def silu(self, x_BI: Tensor) -> Tensor:
        """`silu(weight x)`."""
        return F.silu(self(x_BI), inplace=True)

    def times(self, x_BI: Tensor, other_BO: Tensor) -> Tensor:
        """`other * weight x`."""
        return self(x_BI).mul_(other_BO)

    def plus(self, x_BI: Tensor, other_BO: Tensor) -> Tensor:
        """`other + weight x`."""
        return self(x_BI).add_(other_BO)

    @staticmethod
    def lay_out(weight_OI: Tensor) -> Tensor:
        """A copy in this layout."""
        return weight_OI


class Columns(Matrix):
    """Transposed: one row's product reads it in order."""

    @staticmethod
    def lay_out(weight_OI: Tensor) -> Tensor:
        return weight_OI.t().contiguous()

    def __call__(self, x_BI: Tensor) -> Tensor:
        return torch.mm(x_BI, self.weight)

    def plus(self, x_BI: Tensor, other_BO: Tensor) -> Tensor:
        return torch.addmm(other_BO, x_BI, self.weight)


class Blocks(Matrix):
    """A matrix in the block layout of oneDNN."""

    @staticmethod
    def lay_out(weight_OI: Tensor) -> Tensor:
        blocks: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI.contiguous(), None)
        return blocks

    def __call__(self, x_BI: Tensor) -> Tensor:
        return onednn(x_BI, self.weight)

    def silu(self, x_BI: Tensor) -> Tensor:
        return onednn(x_BI, self.weight, then="swish")

    def times(self, x_BI: Tensor, other_BO: Tensor) -> Tensor:
        return self._with_other("mul", x_BI, other_BO)

    def plus(self, x_BI: Tensor, other_BO: Tensor) -> Tensor:
        return self._with_other("add", x_BI, other_BO)

    def _with_other(self, operation: str, x_BI: Tensor, other_BO: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x_BI, other_BO, self.weight, None, operation)
        return product


class Tiles(Matrix):
    """`[O / 32, I, 32]`, the outputs padded with zeros: what `uniaudio.lm.compiled` reads."""

    SIZE = 32

    @staticmethod
    def lay_out(weight_OI: Tensor) -> Tensor:
        padded = F.pad(weight_OI, (0, 0, 0, -len(weight_OI) % Tiles.SIZE))
        tiles: Tensor = padded.unflatten(0, (-1, Tiles.SIZE)).transpose(1, 2).contiguous()
        return tiles


def matrix(owner: nn.Module, weight_OI: Tensor, num_rows: int, *, may_copy: bool, part: Hashable = None) -> Matrix:
    """`weight_OI`, `part` of what `owner` holds, for products of about `num_rows` rows."""
    weight_OI = weight_OI.detach()
    layout = _layout_of(weight_OI, num_rows) if may_copy else Matrix
    return layout(weight_OI if layout is Matrix else laid_out(owner, part, weight_OI, layout))


def _layout_of(weight_OI: Tensor, num_rows: int) -> type[Matrix]:
    if weight_OI.device.type != "cpu" or weight_OI.dtype not in (torch.float32, torch.bfloat16):
        return Matrix
    if weight_OI.dtype == torch.bfloat16:
        return Blocks if has_blocks(weight_OI.dtype) else Matrix
    return Blocks if has_blocks(weight_OI.dtype) and num_rows * weight_OI.numel() >= MIN_BLOCKED else Columns


def has_blocks(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies such numbers on this processor."""
    return torch.backends.mkldnn.is_available() if dtype == torch.float32 else multiplies_bfloat16()


_Copies = dict[Hashable, tuple[tuple[int, int, type[Matrix]], Tensor]]
_copies: WeakKeyDictionary[nn.Module, _Copies] = WeakKeyDictionary()


def laid_out(owner: nn.Module, part: Hashable, weight_OI: Tensor, layout: type[Matrix]) -> Tensor:
    """The kept copy, made anew where the weight was written to or moved."""
    state = (weight_OI._version, weight_OI.data_ptr(), layout)
    copies = _copies.setdefault(owner, {})
    copy = copies.get(part)
    if copy is None or copy[0] != state:
        copy = copies[part] = (state, layout.lay_out(weight_OI))
    return copy[1]
