"""What an answer may look like: which ids may come next, by the kind of segment.

    text            ids ... END                          (the model opens it itself: <transcription>, BOS, ...)
    reasoning       BEGIN frame, code frames, END frame  (each special frame holds its id in all 8 streams)
    reconstruction  likewise, with its own ids

BEGIN is forced. Stream 0 decides whether a frame ends the segment; if it does, the other streams follow, else they
may only hold codes. So no mixed and no misplaced frame can come out, whatever the weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP

if TYPE_CHECKING:
    from uniaudio.sequence.vocabulary import Vocabulary

TEXT, REASONING, RECONSTRUCTION = "text", "reasoning", "reconstruction"
MODES: dict[str, tuple[str, ...]] = {
    "text": (TEXT,),
    "audio": (REASONING, RECONSTRUCTION),
    "reasoning": (REASONING,),
    "reconstruction": (RECONSTRUCTION,),
}
"""Mode -> segments of the answer. A tuple of kinds is a mode too, such as `MODES["audio"] * 2` for two speakers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameIds:
    """Combined ids of one kind of audio frame, the same in all streams."""

    first_code: int
    num_codes: int
    begin: int
    end: int
    pad: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Grammar:
    """The ids of a vocabulary that decoding cares about."""

    text_size: int
    audio_size: int
    text_end: int
    text_pad: int
    text_specials: frozenset[int]
    """Every text id that stands for no text."""
    closers: Mapping[int, int]
    """Opening wrapper id -> closing wrapper id."""
    frames: Mapping[str, FrameIds]
    """`reasoning` and `reconstruction`."""

    def max_frames(self, kind: str, max_reconstruction_frames: int) -> int:
        """The cap of a segment that goes with a cap on reconstruction frames."""
        if kind == RECONSTRUCTION:
            return max_reconstruction_frames
        return -(-max_reconstruction_frames * RECONSTRUCTION_HOP // REASONING_HOP)

    def plan(self, kinds: Sequence[str]) -> tuple[str, ...]:
        """The segments that are written: no reasoning where the vocabulary has no codes for it."""
        segments = tuple(kind for kind in kinds if kind != REASONING or self.frames[REASONING].num_codes)
        if not segments:
            raise UsageError("`mode` must hold more than reasoning segments: this model has no reasoning tokens.")
        return segments

    def text_mask(self, device: torch.device, num_rows: int) -> Tensor:
        """Bool `[num_rows]`: every id of the vocabulary but padding; a model may have more rows than that."""
        mask = torch.arange(num_rows, device=device) < self.text_size
        mask[self.text_pad] = False
        return mask

    def code_mask(self, kind: str, device: torch.device, *, with_end: bool) -> Tensor:
        """Bool `[audio_size]`: the codes of `kind`, and the id that ends it."""
        ids = self.frames[kind]
        mask = torch.zeros(self.audio_size, dtype=torch.bool, device=device)
        mask[ids.first_code : ids.first_code + ids.num_codes] = True
        mask[ids.end] = with_end
        return mask


def plan_of(mode: str | Sequence[str]) -> tuple[str, ...]:
    """The segments of an answer in `mode`."""
    if isinstance(mode, str):
        if mode not in MODES:
            raise UsageError(f"`mode` must be one of {', '.join(MODES)}, but is {mode!r}.")
        return MODES[mode]
    plan = tuple(mode)
    if not plan or set(plan) - {TEXT, REASONING, RECONSTRUCTION}:
        raise UsageError(f"`mode` must hold text, reasoning and reconstruction segments, but is {plan}.")
    return plan


def grammar_of(vocabulary: "Vocabulary") -> Grammar:
    """What decoding needs of a vocabulary."""
    specials = vocabulary.text_specials
    openers = [name for name in specials if name.endswith("_start") and name.replace("_start", "_end") in specials]
    frames = {
        REASONING: FrameIds(
            first_code=0,
            num_codes=vocabulary.reasoning_codes,
            begin=vocabulary.reasoning_bos,
            end=vocabulary.reasoning_eos,
            pad=vocabulary.reasoning_pad,
        ),
        RECONSTRUCTION: FrameIds(
            first_code=vocabulary.reconstruction_offset,
            num_codes=vocabulary.reconstruction_codes,
            begin=vocabulary.reconstruction_bos,
            end=vocabulary.reconstruction_eos,
            pad=vocabulary.reconstruction_pad,
        ),
    }
    return Grammar(
        text_size=vocabulary.text_size,
        audio_size=vocabulary.audio_size,
        text_end=specials["eos"],
        text_pad=vocabulary.text_pad,
        text_specials=frozenset(specials.values()),
        closers={specials[name]: specials[name.replace("_start", "_end")] for name in openers},
        frames=frames,
    )
