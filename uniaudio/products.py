"""Products with float32 matrices on a CPU through oneDNN: the values of `F.linear` and its gradients up to rounding.

torch sends float32 products to MKL, which leaves half of an AMD processor idle: measured on one EPYC core, oneDNN takes 0.44
to 0.48 of MKL's time for 256 rows and more, forward and backward, and 0.6 to 0.9 for one row.

A call of it costs 10 us more, so small products stay with MKL.

It is also less exact: it adds up all inputs one after the other, MKL some hundreds at a time. Ten times the rounding in the
logits of a 135M text model, 5e-4 against 5e-5. So it is chosen where speed counts: training, and what runs in `EveryLinear`
(encoding, decoding, the pass over a prompt). A language model that is called without gradients computes as torch does.

Without AVX-512 no library multiplies bfloat16: torch turns every number into float32 each time a row needs it. Many rows share
that here: 32 instead of 5 GMAC/s for 256 rows, 9 for 8 (one EPYC core with AVX2).

Shapes: B rows, I inputs, O outputs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

MIN_PRODUCTS = 1 << 18
"""Multiplications of the smallest product for which oneDNN's call is worth its overhead."""

MIN_WIDENED_ROWS = 8
"""Rows of the smallest bfloat16 product whose weights are worth widening."""
WIDENED_WEIGHTS = 1 << 20
"""Weights that are widened at once: 4 MiB of float32."""


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """`[..., I]` -> `[..., O]`, as `F.linear`."""
    if _is_for_widening(x, weight_OI):
        return _widened(x, weight_OI, bias_O)
    if not is_for_onednn(weight_OI, x.numel() // weight_OI.shape[1]) or x.dtype != torch.float32:
        return F.linear(x, weight_OI, bias_O)
    if torch.is_grad_enabled() and (x.requires_grad or weight_OI.requires_grad):
        product: Tensor = _Linear.apply(x, weight_OI)  # type: ignore[no-untyped-call]
        return product if bias_O is None else product + bias_O
    return onednn(x, weight_OI, bias_O)


def onednn(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None, then: str = "none") -> Tensor:
    """oneDNN's product and the operation `then`; the weight lies as it is or in the blocks of `_reorder_linear_weight`."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight_OI, bias_O, then, [], "")
    return product


class EveryLinear(TorchFunctionMode):
    """Context in which every `F.linear` is `linear`, also in modules of other libraries."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is F.linear and len(args) > 1:
            function = linear
        return function(*args, **(kwargs or {}))


def is_for_onednn(weight_OI: Tensor, num_rows: int) -> bool:
    """Whether oneDNN is the faster one for `num_rows` rows."""
    return (
        weight_OI.device.type == "cpu"
        and weight_OI.dtype == torch.float32
        and num_rows * weight_OI.numel() >= MIN_PRODUCTS
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
    )


def multiplies_bfloat16() -> bool:
    """Whether oneDNN is here and this processor has products of bfloat16 for it (AVX-512 or newer)."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _is_for_widening(x: Tensor, weight_OI: Tensor) -> bool:
    return (
        weight_OI.device.type == "cpu"
        and x.dtype == weight_OI.dtype == torch.bfloat16
        and x.numel() >= MIN_WIDENED_ROWS * weight_OI.shape[1]
        and not (torch.is_grad_enabled() and (x.requires_grad or weight_OI.requires_grad))
        and not torch.is_autocast_enabled("cpu")
        and not multiplies_bfloat16()
    )


def _widened(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    """Sums in float32 of some outputs after the other, so that no more than `WIDENED_WEIGHTS` are there twice."""
    x_BI = x.flatten(0, -2).to(torch.float32)
    out_BO = x.new_empty(len(x_BI), len(weight_OI))
    num_outputs = max(1, WIDENED_WEIGHTS // weight_OI.shape[1])
    for first in range(0, len(weight_OI), num_outputs):
        outputs = slice(first, first + num_outputs)
        bias = None if bias_O is None else bias_O[outputs].to(torch.float32)
        out_BO[:, outputs] = F.linear(x_BI, weight_OI[outputs].to(torch.float32), bias)
    return out_BO.view(*x.shape[:-1], -1)


class _Linear(torch.autograd.Function):
    """The product and its two gradients, which are products too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_OI: Tensor) -> Tensor:
        # Of frozen weights the input is not wanted again, of an input without a gradient the weights are not.
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if needs_weight else None, weight_OI if needs_x else None)
        return onednn(x, weight_OI)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight_OI = ctx.saved_tensors
        of_x = onednn(gradients[0], weight_OI.t()) if ctx.needs_input_grad[0] else None
        of_weight_OI = None
        if ctx.needs_input_grad[1]:
            of_weight_OI = onednn(gradients[0].flatten(0, -2).t(), x.flatten(0, -2).t())
        return of_x, of_weight_OI
