"""How the rows of a batch are drawn when each has its own way: rows with the same way are drawn together.

A row's ids are a function of its own logits, way and uniform numbers, so that neighbours change nothing.

Shapes: N rows, T rows with guidance, M = N + T rows of the model, V ids of one stream.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from uniaudio.lm.repetition import penalize
from uniaudio.lm.sampling import Sampling


class Ways:
    """The ways of N rows, in order. Rows of the model: first all with their prompts, then the blanked twins of those with guidance."""

    def __init__(self, samplings: Sequence[Sampling], device: torch.device) -> None:
        # What is drawn from, not how: seeds belong to the rows' uniform numbers.
        self.samplings = [replace(sampling, seed=0) for sampling in samplings]
        self._device = device
        guided = [row for row, sampling in enumerate(self.samplings) if sampling.is_guided]
        self.guided_T = self._index(guided)
        self.all_guided = len(guided) == len(self.samplings)
        scales = [self.samplings[row].cfg_scale for row in guided]
        self._scale_T1 = torch.tensor(scales, device=device)[:, None]
        self.penalizes = any(sampling.penalizes for sampling in self.samplings)
        penalties = [sampling.repetition_penalty for sampling in self.samplings]
        self._penalty_N1 = torch.tensor(penalties, device=device)[:, None]
        self._groups: list[tuple[Sampling, Tensor]] = []
        for number, each in enumerate(self.samplings):
            if each not in self.samplings[:number]:
                alike = [row for row, sampling in enumerate(self.samplings) if sampling == each]
                self._groups.append((each, self._index(alike)))

    def are_of(self, samplings: Sequence[Sampling]) -> bool:
        """Whether these are the ways of `samplings`, seeds aside."""
        return len(samplings) == len(self.samplings) and all(
            replace(one, seed=0) == own for one, own in zip(samplings, self.samplings, strict=True)
        )

    def with_twins(self, x_N: Tensor) -> Tensor:
        """`[N, ...]` -> `[M, ...]`: each twin gets what its row has."""
        if self.all_guided:
            return torch.cat([x_N, x_N])
        return torch.cat([x_N, x_N[self.guided_T]]) if len(self.guided_T) else x_N

    def guide(self, logits_MV: Tensor) -> Tensor:
        """`[M, V]` -> `[N, V]`: rows with guidance are moved away from the answer to the blanked prompt."""
        if not len(self.guided_T):
            return logits_MV
        given_NV, blank_TV = torch.split(logits_MV, [len(self.samplings), len(self.guided_T)])
        scale_T1 = self._scale_T1.to(logits_MV.dtype)
        if self.all_guided:
            return blank_TV + (given_NV - blank_TV) * scale_T1
        return given_NV.index_copy(0, self.guided_T, blank_TV + (given_NV[self.guided_T] - blank_TV) * scale_T1)

    def penalize(self, logits_NV: Tensor, recent_NV: Tensor) -> Tensor:
        """Weakens recent ids by each row's penalty."""
        return penalize(logits_NV, recent_NV, self._penalty_N1.to(logits_NV.dtype))

    def choose(self, choose: Callable[..., Tensor], *given_N: Tensor) -> Tensor:
        """One id a row, `[N]`. `choose` is called once a way, with the rows of each of `given_N` that are drawn that way."""
        if len(self._groups) == 1:
            return choose(self._groups[0][0], *given_N)
        ids_N = torch.empty(len(given_N[0]), dtype=torch.int64, device=self._device)
        for sampling, rows in self._groups:
            ids_N[rows] = choose(sampling, *(given[rows] for given in given_N))
        return ids_N

    def _index(self, rows: Sequence[int]) -> Tensor:
        return torch.tensor(list(rows), dtype=torch.int64, device=self._device)
