"""Pack examples into rows of one length: best fit, longest first, so that little of a row is padding.

Examples of a row never see each other: `document_ids` says which position belongs to which example, and attention
is kept inside a document. Which example goes where is a function of the lengths alone.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.errors import UsageError

from uniaudio.sequence.layout import NUM_STREAMS, Grid

# Shapes: B packed rows, S positions of each
PADDING_DOCUMENT = -1
"""Document id of the positions behind the last example of a row."""


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Several examples one behind the other in each row, then padding."""

    ids: np.ndarray
    """`[B, S, 9]` int64; 0 in padding."""
    is_audio: np.ndarray
    """`[B, S]` bool; False in padding."""
    loss: np.ndarray
    """`[B, S]` bool; False in padding."""
    document_ids: np.ndarray
    """`[B, S]` int64: which example of the row, `PADDING_DOCUMENT` in padding."""


def pack_lengths(lengths: Sequence[int], context: int) -> list[list[int]]:
    """Indices of the examples of each row.

    Best fit: each goes into the fullest row that holds it, longest first, ties by index.
    """
    if context < 1:
        raise UsageError(f"`context` must be 1 or more, but is {context}.")
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []
    """(free positions, row), ascending."""
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        length = lengths[index]
        if not 1 <= length <= context:
            raise UsageError(f"`lengths` must lie in 1 … {context}, but example {index} has {length}.")
        place = bisect_left(rooms, (length, -1))
        room, row = rooms.pop(place) if place < len(rooms) else (context, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(index)
        if room > length:
            insort(rooms, (room - length, row))
    return rows


def pack(grids: Sequence[Grid], context: int) -> PackedRows:
    """Grids -> rows of exactly `context` positions, as few as best fit needs."""
    rows = pack_lengths([len(grid.ids) for grid in grids], context)
    return pack_rows([[grids[index] for index in row] for row in rows], context)


def pack_rows(rows: Sequence[Sequence[Grid]], context: int) -> PackedRows:
    """The grids of each row one behind the other, in `context` positions."""
    shape = (len(rows), context)
    ids = np.zeros((*shape, NUM_STREAMS), np.int64)
    is_audio, loss = np.zeros(shape, bool), np.zeros(shape, bool)
    document_ids = np.full(shape, PADDING_DOCUMENT, np.int64)
    for row, grids in enumerate(rows):
        start = 0
        for document, grid in enumerate(grids):
            here = row, slice(start, start + len(grid.ids))
            start += len(grid.ids)
            if start > context:
                raise UsageError(f"`rows` must fit into {context} positions, but one reaches {start}.")
            ids[here], is_audio[here], loss[here], document_ids[here] = grid.ids, grid.is_audio, grid.loss, document
    return PackedRows(ids=ids, is_audio=is_audio, loss=loss, document_ids=document_ids)
