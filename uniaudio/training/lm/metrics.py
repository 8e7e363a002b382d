"""What a training run says about itself: points of curves as text, and held-out losses by task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from uniaudio.lm.model import UniAudioLM
from uniaudio.metrics.bootstrap import bootstrap_interval
from uniaudio.training.lm.chance import Chance
from uniaudio.training.lm.data import HeldOutRows
from uniaudio.training.lm.losses import LossModel, loss_sums


class SequenceLoss(NamedTuple):
    total: float
    """Summed negative log likelihood (nats)."""
    num_tokens: int
    recording: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Mean negative log likelihood (nats) a token of one task's held-out sequences, at a stage's start and end, beside what chance gives
    on the same tokens."""

    before: float
    after: float
    low: float | None
    """Lower end of the 95 % interval of `after` over recordings, as `high` is the upper one; None for a single recording."""
    high: float | None
    num_sequences: int
    uniform: float
    unigram: float

    @classmethod
    def of(cls, before: float, losses: Sequence[SequenceLoss], chance: Chance) -> "HeldOut":
        """`losses`: of each sequence at the end."""
        totals, counts = [loss.total for loss in losses], [float(loss.num_tokens) for loss in losses]
        low, high = bootstrap_interval(totals, counts, groups=[loss.recording for loss in losses]) or (None, None)
        return cls(
            before=before,
            after=mean_loss(losses),
            low=low,
            high=high,
            num_sequences=len(losses),
            uniform=chance.uniform,
            unigram=chance.unigram,
        )


def mean_loss(losses: Sequence[SequenceLoss]) -> float:
    return sum(loss.total for loss in losses) / sum(loss.num_tokens for loss in losses)


@torch.no_grad()
def held_out_losses(
    model: UniAudioLM | LossModel, held_out: Mapping[str, HeldOutRows], device: str | torch.device
) -> dict[str, list[SequenceLoss]]:
    """Task -> the loss of each sequence that has any target; codes are rated over the legal codes, and a frame counts as its 8, unweighted."""
    losses: dict[str, list[SequenceLoss]] = {}
    for task, rows in held_out.items():
        for row, recording in enumerate(rows.recordings):
            sums = loss_sums(model, rows.batch.rows(row, row + 1).to(device), "loss_frames")
            num_tokens = sums.num_text + sums.num_audio * len(sums.audio_Q)
            if num_tokens:
                total = float(sums.text) + float(sums.audio_Q.sum())
                losses.setdefault(task, []).append(SequenceLoss(total, num_tokens, recording))
    return losses
