"""MP4, Matroska, ASF and AVI: whether the file holds what its outermost sizes promise, and whether its tables can be believed.

Reads   box and element headers; never a sample
Gives   a DataError where the file is cut short, or where a table promises more samples than the file has bytes

FFmpeg ends such a file in silence where its bytes end, and allocates what a table says before it looks for the samples.
Sources: ISO/IEC 14496-12 4.2 and 8.7.3, 8.8.8; RFC 9559; the ASF specification 3.2.
"""

from collections.abc import Iterator
from typing import Any

from uniaudio_schemas.errors import DataError

from uniaudio.audio.tags import Window

_MAX_BOXES = 1_000_000
_SAMPLES_PER_BYTE, _MAX_SAMPLES = 16, 20_000_000
"""Old QuickTime codecs count every number behind the decoder (MACE has 6 a byte); FFmpeg takes 24 bytes for each."""
_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_BROADCAST = 1


def check_mp4(file: Any, start: int, stop: int, name: str) -> int:
    """Where the boxes end."""
    window, end, size = Window(file, stop), start, stop - start
    num_left = max(size, min(_SAMPLES_PER_BYTE * size, _MAX_SAMPLES))
    for kind, first, last in _boxes(window, start, stop, depth=0):
        if last > stop:
            num_missing = last - stop
            raise DataError(
                f"{name}: is cut short: its box {kind.decode()} ends {num_missing} bytes behind the end of the file."
            )
        if kind in (b"stsz", b"trun"):
            # A count of samples of one size each needs no table, so nothing else bounds it.
            num_left -= int.from_bytes(window.at(first + (8 if kind == b"stsz" else 4), 4))
            if num_left < 0:
                raise DataError(
                    f"{name}: is broken: its box {kind.decode()} counts more samples than the file can hold."
                )
        end = max(end, last)
    return end


def _boxes(window: Window, start: int, stop: int, depth: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte of the contents and end of each box, those inside of containers too."""
    for _ in range(_MAX_BOXES):
        head = window.at(start, 16)
        if len(head) < 8 or start + 8 > stop:
            return
        size, kind, first = int.from_bytes(head[:4]), head[4:8], start + 8
        if size == 1:
            size, first = int.from_bytes(head[8:16]), start + 16
        end = start + size if size else stop
        if end < first or not kind.isalnum() or (depth and end > stop):
            return
        yield kind, first, end
        if kind in _CONTAINERS and depth < 8:
            yield from _boxes(window, first, min(end, stop), depth + 1)
        start = end


def check_matroska(file: Any, start: int, stop: int, name: str) -> None:
    window, position = Window(file, stop), start
    for _ in range(16):
        number, _, first = _vint(window, position, keep_marker=True)
        size, size_bytes, first = _vint(window, first, keep_marker=False)
        unknown = size == (1 << 7 * size_bytes) - 1
        if number == 0x18538067:
            if not unknown and first + size > stop:
                num_missing = first + size - stop
                raise DataError(
                    f"{name}: is cut short: its segment ends {num_missing} bytes behind the end of the file."
                )
            return
        position = first + size
        if unknown or position >= stop:
            break
    raise DataError(f"{name}: is not an audio file that can be read: it has no Matroska segment.")


def _vint(window: Window, position: int, *, keep_marker: bool) -> tuple[int, int, int]:
    """An EBML number, its bytes, and where it ends."""
    head = window.at(position, 8)
    num_bytes = 9 - head[0].bit_length() if head and head[0] else 1
    value = int.from_bytes(head[:num_bytes])
    return value if keep_marker else value & (1 << 7 * num_bytes) - 1, num_bytes, position + num_bytes


def check_asf(file: Any, start: int, stop: int, name: str) -> bool:
    """Whether the file's header was finished. That of a broadcast gives neither bytes nor length."""
    head = Window(file, stop).at(start, 1 << 16)
    offset = head.find(_ASF_FILE_PROPERTIES)
    if offset < 0 or len(head) < offset + 104:
        return False
    promised, flags = int.from_bytes(head[offset + 40 : offset + 48], "little"), head[offset + 88]
    if not flags & _ASF_BROADCAST and promised > stop - start:
        raise DataError(f"{name}: is cut short: {stop - start} of {promised} bytes.")
    return not flags & _ASF_BROADCAST


def check_avi(file: Any, start: int, stop: int, name: str) -> bool:
    """Whether the file's header was finished."""
    promised = 8 + int.from_bytes(Window(file, stop).at(start + 4, 4), "little")
    if promised > stop - start and promised < 1 << 31:
        raise DataError(f"{name}: is cut short: {stop - start} of {promised} bytes.")
    return 8 < promised <= stop - start
