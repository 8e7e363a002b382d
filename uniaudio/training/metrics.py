"""What a training run says about itself: points of curves as text, and held-out losses by task."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from uniaudio.lm.model import UniAudioLM
from uniaudio.training.data import Batch
from uniaudio.training.losses import loss_sums

HELD_OUT_ROWS = 4
"""Rows in one held-out forward pass: bounds its memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a stage stands."""

    stage: str
    step: int
    num_steps: int
    metrics: Mapping[str, float]

    def line(self) -> str:
        """`stage1 40/120 steps, loss 3.21, …`: for people and for grep."""
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        return f"{self.stage} {self.step}/{self.num_steps} steps, {values}"


OnProgress = Callable[[Progress], None]


def metric_lines(points: list[dict[str, float | int | str]]) -> str:
    """Points of curves as JSON lines."""
    return "".join(json.dumps(point, sort_keys=True) + "\n" for point in points)


@torch.no_grad()
def held_out_losses(model: UniAudioLM, batches: Mapping[str, Batch], device: str) -> dict[str, float]:
    """Mean negative log likelihood (nats) a token of each task; an audio frame counts as its 8 tokens, unweighted."""
    losses: dict[str, float] = {}
    for task, batch in batches.items():
        total, num_tokens = 0.0, 0
        for first in range(0, len(batch), HELD_OUT_ROWS):
            sums = loss_sums(model, batch.rows(first, first + HELD_OUT_ROWS).to(device), "loss_frames")
            total += float(sums.text) + float(sums.audio_Q.sum())
            num_tokens += sums.num_text + sums.num_audio * len(sums.audio_Q)
        if num_tokens:
            losses[task] = total / num_tokens
    return losses
