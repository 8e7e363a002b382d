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

# Shapes: S positions of a packed row
PADDING_DOCUMENT = -1
"""Document id of the positions behind the last example of a row."""


@dataclass(frozen=True, slots=True)
class PackedRow:
    """Several examples one behind the other, then padding."""

    ids: np.ndarray
    """`[S, 9]` int64; 0 in padding."""
    is_audio: np.ndarray
    """`[S]` bool; False in padding."""
    loss: np.ndarray
    """`[S]` bool; False in padding."""
    document_ids: np.ndarray
    """`[S]` int64: which example of the row, `PADDING_DOCUMENT` in padding."""


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


def pack(grids: Sequence[Grid], context: int) -> list[PackedRow]:
    """Grids -> rows of exactly `context` positions."""
    return [
        pack_row([grids[index] for index in row], context)
        for row in pack_lengths([len(grid.ids) for grid in grids], context)
    ]


def pack_row(grids: Sequence[Grid], context: int) -> PackedRow:
    """One row of `context` positions."""
    ids = np.zeros((context, NUM_STREAMS), np.int64)
    is_audio, loss = np.zeros(context, bool), np.zeros(context, bool)
    document_ids = np.full(context, PADDING_DOCUMENT, np.int64)
    start = 0
    for document, grid in enumerate(grids):
        here = slice(start, start + len(grid.ids))
        if here.stop > context:
            raise UsageError(f"`grids` must fit into {context} positions, but reach {here.stop}.")
        ids[here], is_audio[here], loss[here], document_ids[here] = grid.ids, grid.is_audio, grid.loss, document
        start = here.stop
    return PackedRow(ids=ids, is_audio=is_audio, loss=loss, document_ids=document_ids)
