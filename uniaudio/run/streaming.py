"""Answers as they are written: pieces of text, or of audio.

Audio sounds window by window: the codec decodes a window of frames when the frame behind it is written. With windows of the same length
`UniAudio.run` gives the same samples, but where they reach full scale: there a stream is lowered from that piece on, a finished clip as a whole.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.loudness import PEAK
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import LATENT_HOP
from uniaudio.lm.answer import Piece
from uniaudio.lm.generate import Decoding
from uniaudio.lm.grammar import RECONSTRUCTION
from uniaudio.text.tokenizer import TextTokenizer


class Stream(Iterator[Any]):
    """The pieces of one answer, `str` or `[n]` float32; afterwards, how it ended."""

    def __init__(self, decoding: Decoding, pieces: Iterator[Any]) -> None:
        self._decoding, self._pieces = decoding, pieces

    def __next__(self) -> Any:
        return next(self._pieces)

    @property
    def finished(self) -> Literal["stop", "length"] | None:
        """How the answer ended, as in `Result`; None while it is being written."""
        [answer] = self._decoding.answers
        return answer.result().finished if answer.is_done else None


def text_pieces(pieces: Iterable[Piece], tokenizer: TextTokenizer) -> Iterator[str]:
    """Whole characters of a text as it is written."""
    ids: list[int] = []
    previous = ""
    specials = set(tokenizer.specials.values())
    for piece in pieces:
        ids += [token for token in piece.ids if token not in specials]
        text = tokenizer.decode(ids)
        # The bytes of one character may come in several ids.
        if text.startswith(previous) and not (text.endswith("\N{REPLACEMENT CHARACTER}") and piece.finished is None):
            if new := text[len(previous) :]:
                yield new
            previous = text


def audio_pieces(
    pieces: Iterable[Piece], codec: ReasoningCodec, *, steps: int | None, window_s: float
) -> Iterator[np.ndarray]:
    """`[n]` float32 at 24 kHz; `window_s` 0: the codec's shortest windows."""
    latents = window_latents(window_s, codec) or 2 * codec.config.context_latents
    gain = 1.0
    for piece in codec.decode_frames(_frames(pieces), steps=steps, window_latents=latents):
        samples = np.nan_to_num(piece)
        peak = float(np.abs(samples).max(initial=0.0))
        if peak * gain >= 1.0:
            gain = PEAK / peak
        yield samples * np.float32(gain)


def window_latents(window_s: float, codec: ReasoningCodec) -> int:
    """Whole frames of codes; 0 where `window_s` is 0. UsageError where a window is too short to overlap the next."""
    latents = round(window_s * SAMPLE_RATE / RECONSTRUCTION_HOP) * RECONSTRUCTION_HOP // LATENT_HOP
    least = 2 * codec.config.context_latents
    if window_s != 0 and latents < least:
        shortest = f"{least * LATENT_HOP / SAMPLE_RATE:g}"
        raise UsageError(f"`decode_window_s` (--window-seconds) must be {shortest} or more, but is {window_s:g}.")
    return latents


def _frames(pieces: Iterable[Piece]) -> Iterator[np.ndarray]:
    for piece in pieces:
        if piece.kind == RECONSTRUCTION and piece.ids:
            yield np.array([piece.ids], np.int16)
