"""Segments <-> the grid of 9 streams: what a position is, and in which order positions come. START HERE.

A position is either one text token (column 8) or one audio frame of 8 codes (columns 0 … 7); `segments` says which ids
a segment has.

    segments = [text_segment("hi", "", tokenizer, loss=False), audio_segment("reasoning", codes, vocabulary, loss=True)]
    grid = lay_out(segments)
    assert pick_up(grid, vocabulary) == segments
"""

from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.sequences import Sequence

from uniaudio.sequence.build import build_sequence
from uniaudio.sequence.segments import AUDIO_KINDS, Segment, audio_segment, codes_of, text_segment
from uniaudio.sequence.vocabulary import Vocabulary

__all__ = [
    "NUM_STREAMS", "TEXT_STREAM", "Grid", "Segment", "audio_segment", "build_sequence", "codes_of", "grid_of",
    "lay_out", "num_positions", "pick_up", "segments_of", "text_segment",
]  # fmt: skip

# Shapes: S positions, 9 streams (8 audio, then text)
NUM_STREAMS = 9
TEXT_STREAM = 8


@dataclass(frozen=True, slots=True)
class Grid:
    """One example on the grid."""

    ids: np.ndarray
    """`[S, 9]` int64; 0 in the columns that a position does not use."""
    is_audio: np.ndarray
    """`[S]` bool."""
    loss: np.ndarray
    """`[S]` bool: the position is a target."""

    def __len__(self) -> int:
        return len(self.ids)


def lay_out(segments: SequenceOf[Segment]) -> Grid:
    """Segments one behind the other."""
    length = sum(len(segment.ids) for segment in segments)
    ids = np.zeros((length, NUM_STREAMS), np.int64)
    is_audio, loss = np.zeros(length, bool), np.zeros(length, bool)
    start = 0
    for segment in segments:
        here = slice(start, start + len(segment.ids))
        if segment.is_audio:
            ids[here, :TEXT_STREAM] = segment.ids
            is_audio[here] = True
        else:
            ids[here, TEXT_STREAM] = segment.ids
        loss[here] = segment.loss
        start = here.stop
    return Grid(ids=ids, is_audio=is_audio, loss=loss)


def pick_up(grid: Grid, vocabulary: Vocabulary) -> list[Segment]:
    """The inverse of `lay_out`: every segment ends with a special of its own.

    DataError where one begins or ends otherwise.
    """
    segments = []
    start = 0
    while start < len(grid.ids):
        end = _end_of_audio(grid, start, vocabulary) if grid.is_audio[start] else _end_of_text(grid, start, vocabulary)
        here = slice(start, end)
        if (grid.is_audio[here] != grid.is_audio[start]).any() or (grid.loss[here] != grid.loss[start]).any():
            raise DataError(f"positions {start} … {end - 1} must be one segment, but change their kind or loss.")
        columns = grid.ids[here, :TEXT_STREAM] if grid.is_audio[start] else grid.ids[here, TEXT_STREAM]
        segments.append(Segment(columns, bool(grid.loss[start])))
        start = end
    return segments


def _end_of_audio(grid: Grid, start: int, vocabulary: Vocabulary) -> int:
    first = int(grid.ids[start, 0])
    kinds = [kind for kind in AUDIO_KINDS if getattr(vocabulary, f"{kind}_bos") == first]
    if not kinds:
        raise DataError(f"position {start} must begin an audio segment, but holds id {first}.")
    return _first_position(grid.ids[start:, 0], getattr(vocabulary, f"{kinds[0]}_eos"), start)


def _end_of_text(grid: Grid, start: int, vocabulary: Vocabulary) -> int:
    special = vocabulary.text_specials
    closers = {
        special[name]: special[name.removesuffix("_start") + "_end"] for name in special if name.endswith("_start")
    }
    closers[special["bos"]] = special["eos"]
    first = int(grid.ids[start, TEXT_STREAM])
    if first not in closers:
        raise DataError(f"position {start} must begin a text segment, but holds id {first}.")
    return _first_position(grid.ids[start:, TEXT_STREAM], closers[first], start)


def _first_position(ids: np.ndarray, wanted: int, start: int) -> int:
    """One behind the first position that holds `wanted`."""
    positions = np.flatnonzero(ids == wanted)
    if not len(positions):
        raise DataError(f"the segment at position {start} must end with id {wanted}, but never does.")
    return start + int(positions[0]) + 1


def segments_of(sequence: Sequence) -> Iterator[Segment]:
    """The laid-out segments of a row of `sequences`."""
    flat = {"audio": sequence.audio_ids, "text": sequence.text_ids}
    for part in sequence.segments:
        if part.kind not in flat or not 0 <= part.start <= part.start + part.length <= len(flat[part.kind]):
            raise DataError(f"sequences row {sequence.sequence_id}: segment {part} lies outside the row's ids.")
        yield Segment(flat[part.kind][part.start : part.start + part.length], part.loss)


def grid_of(sequence: Sequence) -> Grid:
    """The grid of a row of `sequences`."""
    return lay_out(list(segments_of(sequence)))


def num_positions(sequence: Sequence) -> int:
    return sum(segment.length for segment in sequence.segments)
