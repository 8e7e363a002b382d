"""What phases `reasoning` and `grpo` ask of a text decoder, small or large, and the arithmetic both share."""

# Shapes: B batch, R reasoning frames, S text positions, A answer tokens, D codec width, V vocabulary

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from uniaudio.codec.recomputation import Recomputation

IGNORED = -100


class Likelihood(NamedTuple):
    """Log probabilities of a batch of answers."""

    log_probability: Tensor
    """`[B, A]`, of each token of an answer; 0 behind its end."""
    real: Tensor
    """`[B, A]` bool: which tokens there are."""


class TextPolicy(nn.Module):
    """Text from reasoning vectors `[B, R, D]`, of which `valid_BR` are real."""

    recomputation: Recomputation = "none"
    """What the backward pass of `forward` and `likelihood` computes again."""

    def forward(
        self, reasoning_BRD: Tensor, valid_BR: Tensor, texts: Sequence[str], questions: Sequence[str] | None = None
    ) -> Tensor:
        """Mean cross-entropy (nats a token) of the texts as answers, ends included."""
        raise NotImplementedError

    def num_targets(self, texts: Sequence[str], questions: Sequence[str]) -> int:
        """Tokens that `forward` takes the mean over."""
        raise NotImplementedError

    def likelihood(
        self, reasoning_BRD: Tensor, valid_BR: Tensor, questions: Sequence[str], answers: Sequence[Sequence[int]]
    ) -> Likelihood:
        """Log probability of each token of answers that `sample` gave."""
        raise NotImplementedError

    @torch.no_grad()
    def sample(
        self,
        reasoning_BRD: Tensor,
        valid_BR: Tensor,
        questions: Sequence[str],
        uniforms_BS: Tensor,
        temperature: float = 1.0,
    ) -> list[list[int]]:
        """Token ids of an answer a row, its end included where it came to one, at most as many as there are uniforms;
        all rows at once with a key-value cache.

        `uniforms_BS` in 0..1 decide every draw, so an answer depends neither on its neighbors nor on a global state.
        """
        raise NotImplementedError

    def text(self, ids: Sequence[int]) -> str:
        """The text of token ids, without its end."""
        raise NotImplementedError


def answer_likelihood(logits_BSV: Tensor, targets_BS: Tensor) -> Likelihood:
    """Likelihood of answers from logits and targets, where all but the answers is `IGNORED`. Answers are moved to the start of
    their rows."""
    real_BS = targets_BS != IGNORED
    log_BSV = logits_BSV.float().log_softmax(dim=-1)
    log_BS = log_BSV.gather(-1, targets_BS.clamp(min=0)[..., None])[..., 0] * real_BS
    num_tokens = int(real_BS.sum(dim=1).max())
    # A row's answer is one run: rolled to the left, all answers start at 0.
    first_B1 = real_BS.int().argmax(dim=1, keepdim=True)
    index_BA = first_B1 + torch.arange(num_tokens, device=targets_BS.device)
    inside_BA = index_BA < targets_BS.shape[1]
    index_BA = index_BA.clamp(max=targets_BS.shape[1] - 1)
    real_BA = real_BS.gather(1, index_BA) & inside_BA
    return Likelihood(log_BS.gather(1, index_BA) * real_BA, real_BA)


def draw_tokens(logits_BV: Tensor, uniforms_B: Tensor, temperature: float) -> Tensor:
    """`[B]` int64 on the logits' device: the token in whose share of the cumulative probability the uniform falls.

    On the CPU, where cumulative sums are the same in every run.
    """
    probability_BV = (logits_BV.float() / temperature).softmax(dim=-1).cpu()
    cumulative_BV = probability_BV.cumsum(dim=-1)
    target_B1 = uniforms_B.cpu()[:, None] * cumulative_BV[:, -1:]
    tokens_B = torch.searchsorted(cumulative_BV, target_B1, right=True)[:, 0]
    return tokens_B.clamp(max=logits_BV.shape[-1] - 1).to(logits_BV.device)


def append_token(answer: list[int], token: int, end: int, limit: int) -> bool:
    """Add a token to an answer that is neither ended nor full; whether more may follow."""
    if not answer or (answer[-1] != end and len(answer) < limit):
        answer.append(token)
    return answer[-1] != end and len(answer) < limit
