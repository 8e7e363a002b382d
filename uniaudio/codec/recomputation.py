"""What the backward pass of a codec's transformer blocks computes again instead of finding it kept: memory for time.

none     every activation is kept
blocks   a block keeps its input alone
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.utils.checkpoint import checkpoint

Recomputation = Literal["none", "blocks"]


def recomputed(block: Callable[..., Any], mode: Recomputation, *arguments: Any, draws: bool = False) -> Any:
    """`block(*arguments)`, whose activations the backward pass finds as `mode` says. `draws`: the block draws random numbers, which
    it must draw again."""
    if mode == "none" or not torch.is_grad_enabled():
        return block(*arguments)
    return checkpoint(block, *arguments, use_reentrant=False, preserve_rng_state=draws)
