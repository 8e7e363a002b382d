"""One answer as it grows: accepts sampled ids, says which position to feed next, and is cut into segments."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from uniaudio_schemas.errors import DataError

from uniaudio.lm.config import TEXT_COLUMN
from uniaudio.lm.grammar import REASONING, RECONSTRUCTION, TEXT, Grammar

Finished = Literal["stop", "length"]
"""`stop`: the model ended the segment; `length`: the cap did, and the end was put in its place."""


@dataclass(frozen=True, slots=True)
class Position:
    """One position to feed: 9 ids and their modality."""

    ids: tuple[int, ...]
    is_audio: bool


@dataclass(frozen=True, slots=True)
class GeneratedSegment:
    """One finished segment, without its BEGIN and END."""

    kind: str
    ids: np.ndarray
    """Text ids int32 `[n]`, or codes int16 `[n, 8]` without any offset."""
    finished: Finished


@dataclass(frozen=True, slots=True)
class Generated:
    """One finished answer."""

    segments: tuple[GeneratedSegment, ...]
    text_specials: frozenset[int] = field(repr=False, default=frozenset())

    def all_of(self, kind: str) -> list[np.ndarray]:
        """The ids of every segment of `kind`, in order."""
        return [segment.ids for segment in self.segments if segment.kind == kind]

    @property
    def text_ids(self) -> list[int]:
        """Text ids of all text segments without special ids, ready for the tokenizer."""
        return [int(i) for ids in self.all_of(TEXT) for i in ids if int(i) not in self.text_specials]

    @property
    def reasoning_codes(self) -> np.ndarray:
        """The codes of the last reasoning segment, int16 `[R, 8]`."""
        return (self.all_of(REASONING) or [_no_codes()])[-1]

    @property
    def reconstruction_codes(self) -> np.ndarray:
        """The codes of the last reconstruction segment, int16 `[T, 8]`."""
        return (self.all_of(RECONSTRUCTION) or [_no_codes()])[-1]

    @property
    def finished(self) -> Finished:
        """`length` if any segment met its cap."""
        return "length" if any(segment.finished == "length" for segment in self.segments) else "stop"


@dataclass(frozen=True, slots=True)
class Piece:
    """One sampled token or frame, as `stream` yields it."""

    kind: str
    ids: tuple[int, ...]
    """One text id, or the 8 codes of a frame without offset; empty where the segment ends."""
    finished: Finished | None = None
    """Set where the segment ends."""


class Answer:
    """The state of one row: current segment, ids so far, positions waiting to be fed."""

    def __init__(self, grammar: Grammar, plan: Sequence[str], *, max_frames: int, max_text: int) -> None:
        self.grammar = grammar
        self.plan = tuple(plan)
        self.caps = {kind: grammar.max_frames(kind, max_frames) for kind in grammar.frames} | {TEXT: max_text}
        self.segments: list[GeneratedSegment] = []
        self.queue: deque[Position] = deque()
        self.num_steps = 0
        self._ids: list[tuple[int, ...]] = []
        self._begin()

    @property
    def is_done(self) -> bool:
        return len(self.segments) == len(self.plan)

    @property
    def kind(self) -> str:
        """Kind of the segment that is being written."""
        return self.plan[len(self.segments)]

    @property
    def may_end(self) -> bool:
        """No clip has zero frames, so no audio segment ends before its first."""
        return self.kind == TEXT or bool(self._ids)

    @property
    def max_positions(self) -> int:
        """Upper bound of the positions that the whole plan may feed: contents, BEGIN and END, closing wrapper."""
        return sum(self.caps[kind] + 2 for kind in self.plan)

    def recent(self, num_positions: int) -> list[tuple[int, ...]]:
        """The segment's last positions as they were sampled: text ids (1 each) or combined ids (8 each)."""
        first_code = 0 if self.kind == TEXT else self.grammar.frames[self.kind].first_code
        return [tuple(i + first_code for i in ids) for ids in self._ids[-num_positions:]]

    def accept(self, sampled: Sequence[int]) -> list[Piece]:
        """Takes a sampled text id (1 id) or frame (8 combined ids) and queues what must be fed next."""
        self.num_steps += 1
        kind = self.kind
        end = self.grammar.text_end if kind == TEXT else self.grammar.frames[kind].end
        if sampled[0] == end:
            return [self._end("stop")]
        first_code = 0 if kind == TEXT else self.grammar.frames[kind].first_code
        ids = tuple(i - first_code for i in sampled)
        if kind != TEXT and not 0 <= min(ids) <= max(ids) < self.grammar.frames[kind].num_codes:
            # Every other id is masked: nothing but logits that are no numbers leads here.
            raise DataError("The model must give numbers, but overflows in its type: load it in another one.")
        self._ids.append(ids)
        self.queue.append(_text(sampled[0]) if kind == TEXT else _frame(sampled))
        pieces = [Piece(kind, ids)]
        if len(self._ids) >= self.caps[kind]:
            pieces.append(self._end("length"))
        return pieces

    def result(self) -> Generated:
        """The finished answer."""
        assert self.is_done, "an answer is read when it is done"
        return Generated(tuple(self.segments), self.grammar.text_specials)

    def _begin(self) -> None:
        if self.kind != TEXT:
            ids = self.grammar.frames[self.kind]
            self.queue.append(_frame([ids.begin] * TEXT_COLUMN))

    def _end(self, finished: Finished) -> Piece:
        kind, ids = self.kind, self._ids
        dtype, shape = (np.int32, (len(ids),)) if kind == TEXT else (np.int16, (len(ids), TEXT_COLUMN))
        self.segments.append(GeneratedSegment(kind, np.array(ids, dtype=dtype).reshape(shape), finished))
        self._ids = []
        if not self.is_done:
            self._queue_end(kind, ids)
            self._begin()
        return Piece(kind, (), finished)

    def _queue_end(self, kind: str, ids: list[tuple[int, ...]]) -> None:
        if kind != TEXT:
            self.queue.append(_frame([self.grammar.frames[kind].end] * TEXT_COLUMN))
            return
        self.queue.append(_text(self.grammar.text_end))
        if ids and ids[0][0] in self.grammar.closers:
            self.queue.append(_text(self.grammar.closers[ids[0][0]]))


def _text(text_id: int) -> Position:
    return Position((0,) * TEXT_COLUMN + (text_id,), is_audio=False)


def _frame(codes: Sequence[int]) -> Position:
    return Position((*codes, 0), is_audio=True)


def _no_codes() -> np.ndarray:
    return np.zeros((0, TEXT_COLUMN), dtype=np.int16)
