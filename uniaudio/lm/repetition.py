"""Against loops: ids that came lately are made less likely, and no run of text ids comes twice.

Shapes: N rows, Q streams, V ids of one stream.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def penalize(logits_NV: Tensor, recent_NV: Tensor, penalty: float | Tensor) -> Tensor:
    """Weakens the logits of ids that are True in `recent_NV`, whatever their sign; `penalty` is one, or one a row `[N, 1]`."""
    weaker_NV = torch.where(logits_NV > 0, logits_NV / penalty, logits_NV * penalty)
    return torch.where(recent_NV, weaker_NV, logits_NV)


def recent_ids(rows: Sequence[Sequence[Sequence[int]]], num_streams: int, size: int, device: torch.device) -> Tensor:
    """Bool `[N, Q, V]`, True at the ids of each row's recent positions (Q ids each)."""
    recent_NQV = torch.zeros(len(rows), num_streams, size, dtype=torch.bool)
    for index, positions in enumerate(rows):
        if positions:
            ids_PQ = torch.tensor(positions, dtype=torch.int64)
            recent_NQV[index].scatter_(1, ids_PQ.T, True)
    return recent_NQV.to(device)


def repeating_ids(ids: Sequence[int], num_ids: int) -> set[int]:
    """Ids that would end a run of `num_ids` that `ids` hold already."""
    if num_ids < 1 or len(ids) < num_ids:
        return set()
    start = tuple(ids[len(ids) - num_ids + 1 :])
    runs = (tuple(ids[first : first + num_ids]) for first in range(len(ids) - num_ids + 1))
    return {run[-1] for run in runs if run[:-1] == start}
