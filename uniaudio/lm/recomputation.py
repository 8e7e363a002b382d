"""What the backward pass computes again instead of finding it kept: memory for time.

none        every activation is kept
blocks      a block keeps its input alone
selective   a block keeps its input and what its matrix products and attention gave: little is computed twice
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from uniaudio.stages.schedule import Recomputation

RECOMPUTATIONS: tuple[Recomputation, ...] = ("none", "blocks", "selective")

_KEPT = frozenset(
    getattr(getattr(torch.ops, library), name).default
    for library, names in {
        "aten": (
            "mm", "bmm", "addmm",
            "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_flash_attention_for_cpu",
        ),
        "mkldnn": ("_linear_pointwise",) if torch.backends.mkldnn.is_available() else (),
    }.items()
    for name in names
)  # fmt: skip


def recomputed(function: Callable[..., Any], mode: Recomputation, *arguments: Any) -> Any:
    """`function(*arguments)`, whose activations the backward pass finds as `mode` says."""
    if mode == "none" or not torch.is_grad_enabled():
        return function(*arguments)
    # Nothing in a block is drawn: there is no state of a generator to bring back.
    if mode == "blocks":
        return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
    contexts = partial(create_selective_checkpoint_contexts, _policy)
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


def _policy(_context: Any, operation: Any, *_arguments: Any, **_options: Any) -> CheckpointPolicy:
    is_kept = operation in _KEPT or operation is torch.ops.higher_order.flex_attention
    return CheckpointPolicy.MUST_SAVE if is_kept else CheckpointPolicy.PREFER_RECOMPUTE
