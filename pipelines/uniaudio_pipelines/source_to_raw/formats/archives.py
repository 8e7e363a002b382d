"""Kaldi's archives of audio: a key, a blank and the bytes of a sound, one after the other.

Reads    wav.1.ark    "rec1 RIFF…", as `wav-copy` writes it, or "rec1 AUDIO…", as kaldiio does for FLAC
Row out  Entry(key="rec1", offset=5, size=88244)

Archives hold features more often than sound, and those are no audio. Matrices, pickles and whatever else is neither end the reading.
Source: https://kaldi-asr.org/doc/io.html, https://github.com/nttcslab-sp/kaldiio
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from uniaudio_schemas.errors import DataError

from uniaudio_pipelines.source_to_raw.formats.tars import MAX_AUDIO

_MAX_KEY = 1024
_PLACE = re.compile(r"(.+\.ark):(\d+)", re.IGNORECASE)
_RIFF, _KALDIIO = b"RIFF", b"AUDIO"
_RIFF_HEADER = 8
"""Bytes before what its size counts."""
_UNKNOWN = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""Sizes that programs write which do not know how long a sound will be, before they round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A sound of an archive."""

    key: str
    offset: int
    """Byte that a line of an `scp` points at: the first one behind the blank."""
    start: int
    """First byte of the sound itself."""
    size: int
    """Bytes of the sound."""


def place_of(said: str) -> tuple[str, int] | None:
    """`data/wav.1.ark:1234` -> the archive and the offset; None for a file of its own."""
    match = _PLACE.fullmatch(said)
    return (match[1], int(match[2])) if match else None


def entries(file: Path) -> Iterator[Entry]:
    """The sounds in their order, without reading them. `DataError` where what follows is none; those before it have been given."""
    num_bytes = file.stat().st_size
    with file.open("rb") as opened:
        place = 0
        while place < num_bytes:
            opened.seek(place)
            entry = _entry(opened, place, file.name)
            place = entry.start + entry.size
            if place > num_bytes:
                raise DataError(f"{file}: {entry.key} must have {entry.size} bytes, but the archive ends before.")
            yield entry


def holds_audio(file: Path) -> bool:
    """Whether an archive holds audio, by its first entry."""
    try:
        return next(entries(file), None) is not None
    except DataError:
        return False


@functools.lru_cache(maxsize=64)
def index(file: Path, size: int, mtime_ns: int) -> tuple[dict[str, Entry], str]:
    """Key -> entry, the first of each, and what is wrong with the rest. Size and time are arguments so that an archive that has changed is
    read again."""
    entry_by_key: dict[str, Entry] = {}
    try:
        for entry in entries(file):
            entry_by_key.setdefault(entry.key, entry)
    except (DataError, OSError) as error:
        return entry_by_key, str(error)
    return entry_by_key, ""


def index_of(file: Path) -> tuple[dict[str, Entry], str]:
    status = file.stat()
    return index(file, status.st_size, status.st_mtime_ns)


def read_entry(file: Path, key: str) -> bytes:
    """The bytes of a sound. `DataError` where the archive has none of that key."""
    entry = index_of(file)[0].get(key)
    if entry is None:
        raise DataError(f"{file}/{key}: is no sound of the archive.")
    with file.open("rb") as opened:
        opened.seek(entry.start)
        return opened.read(entry.size)


def _entry(opened: IO[bytes], place: int, name: str) -> Entry:
    head = opened.read(_MAX_KEY + 16)
    key, blank, rest = head.partition(b" ")
    if not blank or not key or key != key.strip() or b"\0" in key:
        raise DataError(f"{name}: byte {place}: must be a key and a blank, but is {head[:40]!r}.")
    offset = place + len(key) + 1
    start, size = offset, 0
    if rest.startswith(_RIFF):
        size = int.from_bytes(rest[4:8], "little") + _RIFF_HEADER
        if any(-256 < size - _RIFF_HEADER - unknown <= 36 for unknown in _UNKNOWN):
            raise DataError(f"{name}: {key!r} must say how long it is, but is a WAV that was written as a stream.")
    elif rest.startswith(_KALDIIO):
        num_digits = rest[5] if len(rest) > 5 else 0
        start += len(_KALDIIO) + 1 + num_digits
        size = int.from_bytes(rest[6 : 6 + num_digits], "little") if num_digits <= 8 else 0
    if not 0 < size <= MAX_AUDIO:
        raise DataError(f"{name}: {key[:40]!r} must be a WAV or kaldiio's AUDIO of at most 2 GiB, but is {rest[:8]!r}.")
    try:
        return Entry(key=key.decode(), offset=offset, start=start, size=size)
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: byte {place}: a key must be UTF-8, but is {key[:40]!r}.") from error
