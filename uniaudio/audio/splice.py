"""A file made of pieces of another: a decoder sees a sound header, and no junk, where the file on disk has them.

Reads   bytes, and ranges of bytes of an open file
Gives   one seekable binary stream, for instance `Splice(file, [b"RIFF…data…", (44, 53212)])`
"""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

Piece = bytes | tuple[int, int]
"""Bytes as they are, or the range `start … stop` of the file."""


def piece_size(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]


class Splice(io.RawIOBase):
    """Read-only; closing it leaves the file open. It has no `name`: soundfile would take the format from a name such as
    `x.raw` instead of from the contents.
    """

    def __init__(self, file: Any, pieces: Sequence[Piece]) -> None:
        self._file, self._pieces = file, [piece for piece in pieces if piece_size(piece)]
        self._starts = [0, *accumulate(piece_size(piece) for piece in self._pieces)]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer but at the end: a decoder takes a short answer for the end of the file."""
        view, num_filled = memoryview(buffer).cast("B"), 0
        while num_filled < len(view) and self._position < self._starts[-1]:
            index = bisect_right(self._starts, self._position) - 1
            inside = self._position - self._starts[index]
            num_wanted = min(len(view) - num_filled, self._starts[index + 1] - self._position)
            data = self._take(self._pieces[index], inside, num_wanted)
            if not data:
                break
            view[num_filled : num_filled + len(data)] = data
            num_filled += len(data)
            self._position += len(data)
        return num_filled

    def _take(self, piece: Piece, inside: int, wanted: int) -> bytes:
        if isinstance(piece, bytes):
            return piece[inside : inside + wanted]
        self._file.seek(piece[0] + inside)
        return bytes(self._file.read(wanted))
