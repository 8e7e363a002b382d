"""Prompts as tensors: checks, right-padding to one batch, and the blanked prompt of classifier-free guidance.

Shapes: B batch, S positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

from uniaudio.lm.answer import Position
from uniaudio.lm.config import TEXT_COLUMN, LMConfig
from uniaudio.lm.grammar import REASONING, RECONSTRUCTION, Grammar


class GridLike(Protocol):
    """Positions: `ids` int `[S, 9]` (columns 0..7 audio, 8 text) and `is_audio` bool `[S]`; numpy or torch."""

    @property
    def ids(self) -> Any: ...
    @property
    def is_audio(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """A checked prompt on the CPU."""

    ids_S9: Tensor
    is_audio_S: Tensor

    def __len__(self) -> int:
        return len(self.ids_S9)

    def __add__(self, other: "Prompt") -> "Prompt":
        return Prompt(torch.cat([self.ids_S9, other.ids_S9]), torch.cat([self.is_audio_S, other.is_audio_S]))


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """Prompts aligned left; behind the end of a row neither mask is set."""

    ids_BS9: Tensor
    is_audio_BS: Tensor
    is_text_BS: Tensor
    lengths: list[int]


def read_prompt(grid: GridLike, config: LMConfig) -> Prompt:
    """The positions of `grid`, checked against the model's sizes."""
    ids_S9 = torch.as_tensor(np.asarray(grid.ids), dtype=torch.int64)
    is_audio_S = torch.as_tensor(np.asarray(grid.is_audio), dtype=torch.bool)
    if ids_S9.ndim != 2 or ids_S9.shape[1] != TEXT_COLUMN + 1 or is_audio_S.shape != ids_S9.shape[:1]:
        raise UsageError(
            f"A prompt must be ids [S, 9] and is_audio [S], but is {list(ids_S9.shape)} and {list(is_audio_S.shape)}."
        )
    for ids, size, name in (
        (ids_S9[is_audio_S, :TEXT_COLUMN], config.audio_size, "audio"),
        (ids_S9[~is_audio_S, TEXT_COLUMN], config.text_size, "text"),
    ):
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= size):
            raise UsageError(
                f"The {name} ids of a prompt must lie in 0..{size - 1}, "
                f"but reach from {int(ids.min())} to {int(ids.max())}."
            )
    return Prompt(ids_S9, is_audio_S)


def from_positions(positions: Sequence[Position]) -> Prompt:
    """Forced positions as a prompt."""
    ids = torch.tensor([position.ids for position in positions], dtype=torch.int64).reshape(-1, TEXT_COLUMN + 1)
    return Prompt(ids, torch.tensor([position.is_audio for position in positions], dtype=torch.bool))


def batch(prompts: Sequence[Prompt], device: torch.device) -> PromptBatch:
    """Pads on the right."""
    lengths = [len(prompt) for prompt in prompts]
    shape = (len(prompts), max(lengths))
    ids_BS9 = torch.zeros(*shape, TEXT_COLUMN + 1, dtype=torch.int64)
    is_audio_BS, is_text_BS = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids_BS9[row, : len(prompt)] = prompt.ids_S9
        is_audio_BS[row, : len(prompt)] = prompt.is_audio_S
        is_text_BS[row, : len(prompt)] = ~prompt.is_audio_S
    return PromptBatch(ids_BS9.to(device), is_audio_BS.to(device), is_text_BS.to(device), lengths)


def blank(prompt: Prompt, grammar: Grammar) -> Prompt:
    """The prompt without its content, id for id, as training drops conditions: every position becomes padding of its
    own kind.
    """
    ids_S9 = torch.zeros_like(prompt.ids_S9)
    ids_S9[~prompt.is_audio_S, TEXT_COLUMN] = grammar.text_pad
    reconstruction = grammar.frames[RECONSTRUCTION]
    is_reasoning_S = prompt.is_audio_S & (prompt.ids_S9[:, 0] < reconstruction.first_code)
    ids_S9[prompt.is_audio_S, :TEXT_COLUMN] = reconstruction.pad
    ids_S9[is_reasoning_S, :TEXT_COLUMN] = grammar.frames[REASONING].pad
    return Prompt(ids_S9, prompt.is_audio_S)
