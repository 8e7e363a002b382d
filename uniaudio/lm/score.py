"""How likely given answers are: log probabilities, for multiple choice, reranking and perplexity.

The prompt is read once for all continuations; each head runs only at the positions it rates.

Shapes: B continuations, S positions, N rated positions, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

from uniaudio.lm.config import TEXT_COLUMN
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.prompts import GridLike, batch, read_prompt


@dataclass(frozen=True, slots=True)
class Score:
    """The log likelihood (nats) of one continuation."""

    text_log_likelihood: float
    num_text: int
    """Text tokens rated."""
    audio_log_likelihood: float
    """Summed over the 8 codes of every frame."""
    num_frames: int
    """Audio frames rated."""

    @property
    def log_likelihood(self) -> float:
        return self.text_log_likelihood + self.audio_log_likelihood


@torch.no_grad()
def score(model: UniAudioLM, prompt: GridLike, continuations: Sequence[GridLike]) -> list[Score]:
    """Rates every position of every continuation, each given the prompt and what precedes it; an empty one is certain (0)."""
    if not continuations:
        return []
    prompt_grid, device = read_prompt(prompt, model.config), model.device
    if not len(prompt_grid):
        raise UsageError("`prompt` must hold one position or more, but is empty.")
    inputs = batch([read_prompt(continuation, model.config) for continuation in continuations], device)
    num_rows, num_new = inputs.is_text_BS.shape
    cache = model.allocate_cache(1, len(prompt_grid) + num_new)
    first = batch([prompt_grid], device)
    prompt_1SD = model(first.ids_BS9, first.is_audio_BS, first.is_text_BS, cache=cache)
    before_BSD = prompt_1SD[:, -1:].expand(num_rows, 1, -1)[:, :num_new]
    if num_new > 1:
        cache.select(torch.zeros(num_rows, dtype=torch.int64, device=device))
        prefix = slice(0, num_new - 1)
        hidden_BSD = model(
            inputs.ids_BS9[:, prefix],
            inputs.is_audio_BS[:, prefix],
            inputs.is_text_BS[:, prefix],
            positions=len(prompt_grid),
            cache=cache,
        )
        before_BSD = torch.cat([before_BSD, hidden_BSD], dim=1)
    text_B = _text_log_likelihood(model, before_BSD, inputs.ids_BS9, inputs.is_text_BS)
    audio_B = _audio_log_likelihood(model, before_BSD, inputs.ids_BS9, inputs.is_audio_BS)
    counts = zip(inputs.is_text_BS.sum(1).tolist(), inputs.is_audio_BS.sum(1).tolist(), strict=True)
    likelihoods = zip(text_B.tolist(), audio_B.tolist(), counts, strict=True)
    return [Score(text, num_text, audio, num_frames) for text, audio, (num_text, num_frames) in likelihoods]


def _text_log_likelihood(model: UniAudioLM, before_BSD: Tensor, ids_BS9: Tensor, is_text_BS: Tensor) -> Tensor:
    logs_NV = model.text_logits(before_BSD[is_text_BS]).double().log_softmax(dim=-1)
    logs_N = logs_NV.gather(-1, ids_BS9[is_text_BS][:, TEXT_COLUMN:])[:, 0]
    return _sum_rows(logs_N, is_text_BS)


def _audio_log_likelihood(model: UniAudioLM, before_BSD: Tensor, ids_BS9: Tensor, is_audio_BS: Tensor) -> Tensor:
    codes_NQ = ids_BS9[is_audio_BS][:, :TEXT_COLUMN]
    logs_NQV = model.audio_logits(before_BSD[is_audio_BS], codes_NQ).double().log_softmax(dim=-1)
    return _sum_rows(logs_NQV.gather(-1, codes_NQ[..., None])[..., 0].sum(dim=1), is_audio_BS)


def _sum_rows(values_N: Tensor, at_BS: Tensor) -> Tensor:
    rows_N = at_BS.nonzero()[:, 0]
    return values_N.new_zeros(len(at_BS)).index_add(0, rows_N, values_N)
