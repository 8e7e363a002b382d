"""Packed rows: several documents in one row, none of which sees another.

Shapes: B batch, S positions, K keys.
"""

import torch
from torch import Tensor


def packed_positions(document_ids_BS: Tensor) -> Tensor:
    """Positions that restart at 0 wherever the document id changes, int64 `[B, S]`."""
    index_S = torch.arange(document_ids_BS.shape[1], device=document_ids_BS.device)
    starts_BS = torch.zeros_like(document_ids_BS, dtype=torch.bool)
    starts_BS[:, 1:] = document_ids_BS[:, 1:] != document_ids_BS[:, :-1]
    first_BS = (index_S * starts_BS).cummax(dim=1).values
    return index_S - first_BS


def packed_mask(document_ids_BS: Tensor) -> Tensor:
    """Bool `[B, S, K]`, True where S may look at K: same document, not later. Every position sees itself."""
    same = document_ids_BS[:, :, None] == document_ids_BS[:, None, :]
    return same.tril()


def document_lengths(document_ids_BS: Tensor) -> list[list[int]]:
    """Positions of each run of one id, in the order of the row; padding is a run too. Waits for the device."""
    return [torch.unique_consecutive(ids_S, return_counts=True)[1].tolist() for ids_S in document_ids_BS]
