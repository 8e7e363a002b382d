"""Feature-wise modulation of encoder frames by the reasoning tokens, frame by frame.

Reads    features `[B, T, D]` and a condition `[B, T, D]` at the same rate
Writes   modulated features `[B, T, D]`
"""

# Shapes: B batch, T frames, D width

import torch
from torch import Tensor, nn

# How far the condition may stretch a feature: the released constant, not a tunable.
SCALE_RANGE = 0.1
# Share of items whose condition the released codec drops, in training and, by defect, when encoding.
RELEASED_DROP_PROBABILITY = 0.2


class TimeFiLM(nn.Module):
    """`y = (1 + 0.1 tanh(delta)) x + beta`, with delta and beta from the condition of the same frame."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.delta_beta = nn.Linear(dim, 2 * dim)

    def forward(self, features_BTD: Tensor, condition_BTD: Tensor, dropped_B: Tensor | None = None) -> Tensor:
        """`[B, T, D]` -> `[B, T, D]`; an item whose `dropped_B` (bool) is True passes unchanged."""
        delta_BTD, beta_BTD = self.delta_beta(condition_BTD).chunk(2, dim=-1)
        modulated_BTD: Tensor = (1 + SCALE_RANGE * torch.tanh(delta_BTD)) * features_BTD + beta_BTD
        if dropped_B is None:
            return modulated_BTD
        return torch.where(dropped_B[:, None, None], features_BTD, modulated_BTD)


def draw_drops(num_items: int, probability: float, *, generator: torch.Generator | None = None) -> Tensor:
    """Which items lose their condition: `[B]` bool, drawn on the generator's device (CPU without one)."""
    device = generator.device if generator is not None else "cpu"
    return torch.rand(num_items, generator=generator, device=device) < probability
