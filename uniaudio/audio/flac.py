"""FLAC: how many samples its header promises, and whether a second file lies behind the first.

Reads   STREAMINFO, and the bytes of the file once for `fLaC`
Gives   a part for each file, for instance `Part(pieces=((0, 41105),), demuxer="flac", num_samples=26584)`

To its end a file is read by FFmpeg, which reads what there is; libsndfile stops where the header says, and reads nothing
where the header leaves the length open. A cut is read by libsndfile, which finds it without decoding what is in front; the
samples are the same. Source: RFC 9639.
"""

from typing import Any

from uniaudio.audio.part import Layout, Part
from uniaudio.audio.tags import WINDOW, Window

MARK = b"fLaC\x00\x00\x00\x22"
"""The first bytes of a file: its name, and the head of a STREAMINFO block of 34 bytes."""
_STREAMINFO = 26
"""Bytes up to the end of the number of samples."""
_LAST_BLOCK = 0x80


def is_flac(head: bytes) -> bool:
    return head[:4] == MARK[:4] and len(head) >= 8 and head[4] & ~_LAST_BLOCK == 0 and head[5:8] == MARK[5:]


def lay_out_flac(file: Any, start: int, stop: int, layout: Layout, *, whole: bool) -> None:
    """`whole` is whether the file will be read to its end."""
    window = Window(file, stop)
    starts = [start, *_find_marks(window, start + 8)] if whole else [start]
    if len(starts) > 1:
        layout.note("chained_streams", f"{len(starts)} FLAC files, one behind the other")
    for first, end in zip(starts, [*starts[1:], stop], strict=True):
        promised = int.from_bytes(window.at(first, _STREAMINFO)[21:]) & (1 << 36) - 1
        if whole and not promised:
            layout.note("unknown_length", "STREAMINFO says 0 samples")
        demuxer = "flac" if whole or not promised else None
        layout.parts.append(Part(pieces=((first, end),), demuxer=demuxer, num_samples=promised or None))


def _find_marks(window: Window, position: int) -> list[int]:
    positions = list[int]()
    while position < window.stop:
        data = window.at(position, min(WINDOW, window.stop - position))
        inside = -1
        while (inside := data.find(MARK[:4], inside + 1)) >= 0:
            if is_flac(data[inside : inside + 8]):
                positions.append(position + inside)
        position += max(1, len(data) - 7)
    return positions
