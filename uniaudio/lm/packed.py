"""Attention of packed rows, in which a document looks at itself alone: three ways with one result up to rounding.

by_document   each document through the fused causal kernel; knows the lengths, so the device waits for the host
block_mask    FlexAttention over blocks of 128 positions: those that no document crosses are skipped or computed without
              looking at a mask, and nothing of `[S, S]` is ever there; its backward pass needs a GPU
dense_mask    a boolean `[S, S]` for every row; any device, any compiler, and it computes what it hides

Shapes: B batch, S positions, H heads, E head size, N blocks.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

PackedAttention = Literal["by_document", "block_mask", "dense_mask"]
BLOCK = 128
"""Positions of a block: FlexAttention's own, which its kernels are tuned for."""


def usual_attention(device: torch.device, *, compiled: bool = False) -> PackedAttention:
    """What a model takes that is not told: a GPU has kernels for blocks, and a processor has none with a backward pass. Compiled
    code holds no lengths, which are others in every batch: there a processor takes a mask.
    """
    if device.type != "cpu":
        return "block_mask"
    return "dense_mask" if compiled else "by_document"


def block_mask(document_ids_BS: Tensor) -> "BlockMask":
    """Same document and not later, as blocks: from the ids at their borders, without a mask of positions, on the device."""
    from torch.nn.attention.flex_attention import BlockMask

    runs_BS = _runs(document_ids_BS)
    length = runs_BS.shape[1]
    # A last block that is not whole is none that needs no mask.
    padded_BS = F.pad(runs_BS, (0, -length % BLOCK), value=-1)
    first_BN, last_BN = padded_BS[:, ::BLOCK], padded_BS[:, BLOCK - 1 :: BLOCK]
    # Runs ascend: a block behind another meets it where the other ends in the run that it begins with.
    meets_BNN = last_BN[:, None, :] == first_BN[:, :, None]
    # All of both are one run.
    full_BNN = first_BN[:, None, :] == last_BN[:, :, None]
    index_N = torch.arange(first_BN.shape[1], device=runs_BS.device)
    is_before_NN, is_same_NN = index_N < index_N[:, None], index_N == index_N[:, None]

    def may_look(row: Tensor, _head: Tensor, at: Tensor, key: Tensor) -> Tensor:
        return (runs_BS[row, at] == runs_BS[row, key]) & (at >= key)

    return BlockMask.from_kv_blocks(
        *_listed((meets_BNN & ~full_BNN & is_before_NN) | is_same_NN),
        *_listed(full_BNN & is_before_NN),
        BLOCK_SIZE=BLOCK,
        mask_mod=may_look,
        seq_lengths=(length, length),
    )


def attend_in_blocks(query: Tensor, key: Tensor, value: Tensor, blocks: "BlockMask", *, grouped: bool) -> Tensor:
    """`[B, H, S, E]` -> `[B, H, S, E]`; a kernel of its own off the CPU, where the loose form would compute all scores."""
    from torch.nn.attention.flex_attention import flex_attention

    is_loose = query.device.type == "cpu" or torch.compiler.is_compiling()
    attend = flex_attention if is_loose else _compiled_attention()
    return cast(Tensor, attend(query, key, value, block_mask=blocks, enable_gqa=grouped))


@cache
def _compiled_attention() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


def _runs(document_ids_BS: Tensor) -> Tensor:
    """Number of each stretch of one id, from 0, int64 `[B, S]`: ascending whatever the ids are."""
    changes_BS = torch.zeros_like(document_ids_BS)
    changes_BS[:, 1:] = document_ids_BS[:, 1:] != document_ids_BS[:, :-1]
    return changes_BS.cumsum(dim=1)


def _listed(chosen_BNN: Tensor) -> tuple[Tensor, Tensor]:
    """How many key blocks each query block has, `[B, 1, N]`, and which, those first, `[B, 1, N, N]`; int32."""
    counts_BN = chosen_BNN.sum(dim=-1, dtype=torch.int32)
    order_BNN = chosen_BNN.int().argsort(dim=-1, descending=True, stable=True).int()
    return counts_BN[:, None], order_BNN[:, None]
