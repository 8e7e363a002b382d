"""Tars of unknown origin, plain or gzip: their regular files in order, and any one of them by name. Nothing is ever unpacked or followed.

Reads    shards/train-000017.tar
Row out  Member(name="1034-121119-0000.flac", offset=1536, size=40211, data=None)
         Flaw(reason="link_in_tar", detail="a.wav: links are not followed")

A plain tar is read by seeking: listing it reads headers and labels, never audio. A tar.gz is decompressed from its beginning to the member, once
for all members that are asked for in order.
"""

import functools
import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from uniaudio_schemas.errors import DataError

from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio

MAX_AUDIO = 2 << 30
"""Bytes of one audio file."""
MAX_LABEL = 16 << 20
"""Bytes of one file of labels."""
_MAX_HEADER = 4 << 20
"""Bytes that one header may take: `tarfile` reads a long name or a PAX header at once, whatever size it claims."""
_MAX_NAME = 4096
_MAX_RATIO, _FREE = 200, 1 << 30
"""Beyond `_FREE` bytes, gzip that gives more than `_MAX_RATIO` bytes for one is a bomb: audio and its labels do not shrink so far."""
_ERRORS = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A regular file of a tar, whole."""

    name: str
    offset: int
    """Offset of the member's first byte in the tar, after decompression."""
    size: int
    data: bytes | None = None
    """Bytes of the member, where they were asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flaw:
    """What of a tar is not used."""

    reason: str
    detail: str


def members(file: Path, max_data: Callable[[str], int] = lambda name: 0) -> Iterator[Member | Flaw]:
    """The members of a tar in the order in which they lie; `max_data(name)` is up to how many bytes the data come along. Where the tar
    is cut short or broken, the last thing is a `Flaw`: what was whole before it has been given."""
    number, seen = 0, set[str]()
    try:
        with _open(file) as stream, tarfile.open(fileobj=stream, mode="r:", encoding="utf-8") as tar:
            end = -1
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it keeps all it has seen
                if tar.offset <= end or info.size < 0:
                    yield Flaw(reason="broken_tar", detail=f"after {number} members: a header points backwards")
                    return
                end, number = tar.offset, number + 1
                if isinstance(member := _regular(info, seen), Member):
                    seen.add(member.name)
                    member = _whole(stream, member, max_data(member.name))
                if member is not None:
                    yield member
            if _holds_more(stream):
                yield Flaw(reason="broken_tar", detail=f"after {number} members: what follows is no member")
    except (_CutShortError, EOFError) as error:
        yield Flaw(reason="cut_short", detail=f"after {number} members: {error}")
    except _ERRORS as error:
        yield Flaw(reason="broken_tar", detail=f"after {number} members: {error or type(error).__name__}")


def read_member(file: Path, name: str, max_bytes: int = MAX_AUDIO) -> bytes:
    """The bytes of one member; `DataError` where it is not there or larger than `max_bytes`. Quick for members in their order."""
    try:
        status = file.stat()
        opened = _opened(file, status.st_size, status.st_mtime_ns)
        if (place := opened.places.get(name)) is None:
            raise DataError(f"{file}/{name}: is no member of the tar that can be used.")
        offset, size = place
        if size > max_bytes:
            raise DataError(f"{file}/{name}: must be at most {max_bytes} bytes, but is {size}.")
        opened.stream.seek(offset)
        data = _read(opened.stream, size)
    except _ERRORS as error:
        raise DataError(f"{file}/{name}: cannot be read: {error}.") from error
    if len(data) < size:
        raise DataError(f"{file}/{name}: ends after {len(data)} of {size} bytes.")
    return data


def audio_of(file: Path) -> Iterator[tuple[str, bytes]]:
    """`(name, bytes)` of each audio file of a tar that is whole and not larger than audio may be, in their order."""
    for member in members(file, lambda name: MAX_AUDIO if is_audio(name) else 0):
        if isinstance(member, Member) and member.data:
            yield member.name, member.data


class _CutShortError(Exception):
    """The tar ends within a member."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    stream: "_Stream"
    places: dict[str, tuple[int, int]]
    """Member -> offset and size."""


@functools.lru_cache(maxsize=4)
def _opened(file: Path, size: int, mtime_ns: int) -> _Opened:
    """Size and time are arguments so that a file that has changed is indexed again."""
    places = {member.name: (member.offset, member.size) for member in members(file) if isinstance(member, Member)}
    return _Opened(stream=_open(file), places=places)


def _open(file: Path) -> "_Stream":
    raw = file.open("rb")
    is_gzip = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return _Stream(raw, gzip.GzipFile(fileobj=raw) if is_gzip else None, os.fstat(raw.fileno()).st_size)


class _Stream(io.RawIOBase):
    """What `tarfile` reads from: no read is larger than a header may be, and gzip may not expand without end."""

    def __init__(self, raw: IO[bytes], unpacked: gzip.GzipFile | None, num_bytes: int) -> None:
        self._raw, self._unpacked, self._num_bytes = raw, unpacked, num_bytes
        self.last = b""
        """What was read last: going back costs gzip its whole way again."""

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = (self._unpacked or self._raw).read(size)
        num = self._unpacked.tell() if self._unpacked else 0
        if num > _FREE and num > _MAX_RATIO * self._num_bytes:
            raise tarfile.ReadError(f"a gzip bomb: {self._num_bytes} bytes gave {num} already")
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self._unpacked is None:
            return self._raw.seek(offset, whence)
        if offset < self._unpacked.tell():
            self._unpacked.rewind()
        while (left := offset - self._unpacked.tell()) > 0 and self.read(min(left, _MAX_HEADER)):
            pass
        return self._unpacked.tell()

    def tell(self) -> int:
        return (self._unpacked or self._raw).tell()

    def close(self) -> None:
        self._raw.close()
        super().close()


def _regular(info: tarfile.TarInfo, seen: set[str]) -> Member | Flaw | None:
    """Member that is a file, or what is wrong with it; None for a folder."""
    shown = info.name[:200].encode("utf-8", "backslashreplace").decode()
    if info.isdir():
        return None
    if info.issym() or info.islnk():
        return Flaw(reason="link_in_tar", detail=f"{shown}: links are not followed")
    if not info.isreg() or info.issparse():
        return Flaw(reason="unsupported_in_tar", detail=f"{shown}: must be a regular file, not sparse")
    name = info.name.removeprefix("./")
    if shown != info.name[:200] or len(name) > _MAX_NAME:
        return Flaw(
            reason="unsupported_in_tar", detail=f"{shown}: its name must be UTF-8 of at most {_MAX_NAME} characters"
        )
    if name.startswith("/") or ".." in name.split("/"):
        return Flaw(reason="unsafe_name", detail=f"{shown}: must lie below the tar's own root")
    if PurePosixPath(name).name.startswith("."):
        return Flaw(reason="hidden", detail=shown)
    if name in seen:
        return Flaw(reason="duplicate_name", detail=f"{shown}: is there before; the first one is used")
    return Member(name=name, offset=info.offset_data, size=info.size)


def _whole(stream: _Stream, member: Member, max_data: int) -> Member:
    """The member with its data where it has at most `max_data` bytes. Its last byte is read in any case."""
    data = None
    if member.size <= max_data:
        stream.seek(member.offset)
        data = _read(stream, member.size)
        is_whole = len(data) == member.size
    elif member.size:
        stream.seek(member.offset + member.size - 1)
        is_whole = len(stream.read(1)) == 1
    else:
        is_whole = True
    if not is_whole:
        raise _CutShortError(f"{member.name}: the tar ends before its {member.size} bytes do")
    return Member(name=member.name, offset=member.offset, size=member.size, data=data)


def _read(stream: _Stream, size: int) -> bytes:
    parts, left = [], size
    while left and (part := stream.read(min(left, _MAX_HEADER))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _holds_more(stream: _Stream) -> bool:
    """Whether anything but the zeros that end a tar was read last, or follows: `tarfile` takes a broken header for the end."""
    block = stream.last
    while block and not block.strip(b"\0"):
        block = stream.read(1 << 20)
    return bool(block)
