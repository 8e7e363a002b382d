"""Reward and loss of phase `grpo`: pure functions.

Reward r = 0.7 J + 0.2 T + 0.1 F: what the judge says, how right a quoted transcript is, whether the form was kept.
Loss: group-relative policy optimization (Shao et al. 2024), the clipped ratio less a distance to the reference policy.
"""

# Shapes: B clips, G rollouts a clip, A answer tokens

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

from uniaudio.metrics.wer import word_error_rate
from uniaudio.stages.codec_phase import GrpoSettings
from uniaudio.training.codec.examples import ClipFacts, quoted, read_levels
from uniaudio.training.codec.judge import Judge

JUDGE_WEIGHT, TRANSCRIPT_WEIGHT, FORM_WEIGHT = 0.7, 0.2, 0.1
MAX_LENGTH_RATIO = 3.0
"""An answer of the right form is at most this many times as long as what is known, and at least a third of it."""
SMALLEST_STD, STD_FLOOR = 1e-3, 1e-4


class Reward(NamedTuple):
    """Each `[B * G]` float32."""

    total: Tensor
    judge: Tensor
    transcript: Tensor
    """NaN where the clip has no transcript."""
    form: Tensor


class PolicyLoss(NamedTuple):
    """The policy's part of the loss and what is logged of it."""

    loss: Tensor
    kl: Tensor
    """Mean distance to the reference policy, nats a token."""


def reward(answers: Sequence[str], facts: Sequence[ClipFacts], judge: Judge) -> Reward:
    """Reward of each answer about its clip. Where a clip has no transcript, the transcript's weight moves to the judge."""
    judge_scores = torch.tensor(_checked(judge, judge.scores(answers, facts), len(answers)))
    pairs = list(zip(answers, facts, strict=True))
    transcript = torch.tensor([_transcript(answer, one) for answer, one in pairs])
    form = torch.tensor([_form(answer, one) for answer, one in pairs])
    silent = transcript.isnan()
    total = torch.where(
        silent,
        (JUDGE_WEIGHT + TRANSCRIPT_WEIGHT) * judge_scores,
        JUDGE_WEIGHT * judge_scores + TRANSCRIPT_WEIGHT * transcript.nan_to_num(),
    )
    return Reward(total + FORM_WEIGHT * form, judge_scores, transcript, form)


def advantages(rewards_BG: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards in standard deviations of their group `[B, G]`, and which groups `[B]` have something to tell."""
    std_B1 = rewards_BG.std(dim=1, keepdim=True)
    return (rewards_BG - rewards_BG.mean(dim=1, keepdim=True)) / (std_B1 + STD_FLOOR), std_B1[:, 0] >= SMALLEST_STD


def policy_loss(
    log_NA: Tensor,
    old_NA: Tensor,
    reference_NA: Tensor,
    advantage_N: Tensor,
    counted_NA: Tensor,
    settings: GrpoSettings,
) -> PolicyLoss:
    """Mean over the tokens in `counted_NA` of -(min(rho A, clip(rho) A) - beta k3), with rho = policy / old policy and
    k3 = reference / policy - log(reference / policy) - 1. All `[B * G, A]` log probabilities.
    """
    ratio_NA = (log_NA - old_NA).exp()
    clipped_NA = ratio_NA.clamp(1 - settings.clip_range, 1 + settings.clip_range)
    gain_NA = torch.minimum(ratio_NA * advantage_N[:, None], clipped_NA * advantage_N[:, None])
    difference_NA = reference_NA - log_NA
    distance_NA = difference_NA.exp() - difference_NA - 1
    num_tokens = counted_NA.sum().clamp(min=1)
    kl = (distance_NA * counted_NA).sum() / num_tokens
    return PolicyLoss(-(gain_NA * counted_NA).sum() / num_tokens + settings.kl_weight * kl, kl.detach())


def _checked(judge: Judge, scores: Sequence[float], num_answers: int) -> list[float]:
    """A score that is none would end in weights that are none."""
    right = [score for score in scores if isinstance(score, int | float) and 0 <= score <= 1]
    if len(scores) != num_answers or len(right) != num_answers:
        raise UsageError(
            f"`judge` must give each of {num_answers} answers 0 to 1, but {type(judge).__name__} gives {scores!r:.80}."
        )
    return [float(score) for score in right]


def _transcript(answer: str, facts: ClipFacts) -> float:
    """1 - WER of the quoted transcript, at least 0; NaN where none is known."""
    details = next((text for level, text in read_levels(answer) if level == "Details"), "")
    rate = word_error_rate([(facts.transcript, quoted(details))])
    return float("nan") if rate is None else 1.0 - min(rate, 1.0)


def _form(answer: str, facts: ClipFacts) -> float:
    """1 where exactly the levels that are known come, once and in order, at a length like theirs."""
    levels = facts.levels()
    length = sum(len(level) + len(text) + 3 for level, text in levels.items())
    in_form = [level for level, _ in read_levels(answer)] == list(levels)
    return float(bool(levels) and in_form and length / MAX_LENGTH_RATIO <= len(answer) <= length * MAX_LENGTH_RATIO)
