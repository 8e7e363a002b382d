"""Bytes of a file by position, and the tags that lie in front of, between and behind audio: ID3, APE, Lyrics3.

Reads   for instance `ID3`, version, flags, size, … at the start of an MP3
Gives   how many bytes such a tag has, so that it can be stepped over

A tag is never interpreted: its pictures and packed frames are where hostile files hide.
"""

from typing import Any

WINDOW = 1 << 18
_LYRICS_END = 9


class Window:
    """Bytes of the file by position, read a megabyte at a time."""

    def __init__(self, file: Any, stop: int) -> None:
        self._file, self.stop, self._start, self._data = file, stop, 0, b""

    def at(self, position: int, size: int) -> bytes:
        """Fewer than `size` bytes at the end, none beyond it."""
        if not 0 <= position < self.stop:
            return b""
        inside = position - self._start
        if inside < 0 or inside + size > len(self._data):
            self._file.seek(position)
            self._start, inside = position, 0
            self._data = self._file.read(max(0, min(max(size, WINDOW), self.stop - position)))
        return self._data[inside : inside + size]

    def count_junk(self, start: int, stop: int) -> int:
        """Bytes of `start … stop`, 0 where all of them are zeros, which is padding."""
        for position in range(start, stop, WINDOW):
            if self.at(position, min(WINDOW, stop - position)).strip(b"\0"):
                return stop - start
        return 0


def tag_size(window: Window, position: int) -> int:
    """Bytes of the tag that begins at `position`, 0 where none does; a size beyond the end is cut to it."""
    head = window.at(position, 32)
    size = 0
    if head.startswith(b"ID3") and len(head) >= 10 and max(head[6:10]) < 0x80 and head[3] < 0xFF:
        size = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        size += 10 if head[5] & 0x10 else 0  # its footer
    elif head.startswith(b"TAG+"):
        size = 227
    elif head.startswith(b"TAG"):
        size = 128
    elif head.startswith(b"APETAGEX") and len(head) == 32:
        size = 32 + int.from_bytes(head[12:16], "little") if head[23] & 0x20 else 32  # a header, or a footer alone
    elif head.startswith(b"LYRICSBEGIN"):
        text = window.at(position, WINDOW)
        end = max(text.find(b"LYRICS200"), text.find(b"LYRICSEND"))
        size = end + _LYRICS_END if end > 0 else 0
    return min(size, window.stop - position)


def skip_tags(window: Window, position: int) -> int:
    """Where the tags that begin at `position` end."""
    while size := tag_size(window, position):
        position += size
    return position
