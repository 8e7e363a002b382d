"""One segment's ids: text in its wrapper, or codes between a begin and an end frame.

prompt            bos, ids of the prompt and two newlines, eos
text              bos, ids, eos; inside `<X>` and `</X>` where it has a wrapper X
reasoning         frame of bos, R frames, frame of eos
reconstruction    frame of bos, T frames, frame of eos; codes and specials offset
audio_prompt      as reconstruction, with its own bos and eos
"""

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import TextTokenizer

# Shapes: n ids or frames of a segment, 8 streams
PROMPT_SUFFIX = "\n\n"
AUDIO_KINDS = ("reasoning", "reconstruction", "audio_prompt")


@dataclass(frozen=True, slots=True)
class Segment:
    """Laid-out ids of one segment: text `[n]` or audio `[n, 8]`, specials included."""

    ids: np.ndarray
    loss: bool

    @property
    def is_audio(self) -> bool:
        return self.ids.ndim == 2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Segment) and self.loss == other.loss and np.array_equal(self.ids, other.ids)

    __hash__ = None  # type: ignore[assignment]


def text_segment(text: str, wrapper: str, tokenizer: TextTokenizer, *, loss: bool) -> Segment:
    """`[bos, ids, eos]`, in the tags of `wrapper` where it is not empty."""
    return wrap_text(tokenizer.encode(text), wrapper, tokenizer.specials, loss=loss)


def wrap_text(ids: SequenceOf[int], wrapper: str, specials: dict[str, int], *, loss: bool) -> Segment:
    """Plain ids -> `[bos, ids, eos]`, in the tags of `wrapper` where it is not empty."""
    wrapped = [specials["bos"], *ids, specials["eos"]]
    if wrapper:
        if f"{wrapper}_start" not in specials:
            raise UsageError(f"`wrapper` must have special tokens, but {wrapper!r} has none.")
        wrapped = [specials[f"{wrapper}_start"], *wrapped, specials[f"{wrapper}_end"]]
    return Segment(np.asarray(wrapped, np.int64), loss)


def audio_segment(kind: str, codes: np.ndarray, vocabulary: Vocabulary, *, loss: bool) -> Segment:
    """Codes `[n, 8]` of `reasoning`, `reconstruction` or `audio_prompt` -> combined ids `[n + 2, 8]`."""
    if codes.ndim != 2 or codes.shape[1] != vocabulary.num_codebooks:
        raise DataError(f"{kind} codes must be [frames, {vocabulary.num_codebooks}], but are {list(codes.shape)}.")
    first, num_codes = code_range(kind, vocabulary)
    if codes.size and not 0 <= codes.min() <= codes.max() < num_codes:
        raise DataError(f"{kind} codes must lie in 0 … {num_codes - 1}, but go from {codes.min()} to {codes.max()}.")
    ids = np.empty((len(codes) + 2, vocabulary.num_codebooks), np.int64)
    ids[0], ids[-1] = getattr(vocabulary, f"{kind}_bos"), getattr(vocabulary, f"{kind}_eos")
    ids[1:-1] = codes
    ids[1:-1] += first
    return Segment(ids, loss)


def codes_of(segment: Segment, vocabulary: Vocabulary) -> tuple[str, np.ndarray]:
    """The inverse of `audio_segment`: kind, and codes `[n, 8]` int16."""
    for kind in AUDIO_KINDS:
        if segment.is_audio and len(segment.ids) >= 2 and segment.ids[0, 0] == getattr(vocabulary, f"{kind}_bos"):
            return kind, (segment.ids[1:-1] - code_range(kind, vocabulary)[0]).astype(np.int16)
    raise DataError("`segment` must begin with the begin frame of an audio segment, but does not.")


def code_range(kind: str, vocabulary: Vocabulary) -> tuple[int, int]:
    """First combined id and number of the codes of an audio kind."""
    if kind not in AUDIO_KINDS:
        raise UsageError(f"`kind` must be one of {', '.join(AUDIO_KINDS)}, but is {kind!r}.")
    if kind == "reasoning":
        return 0, vocabulary.reasoning_codes
    return vocabulary.reconstruction_offset, vocabulary.reconstruction_codes
