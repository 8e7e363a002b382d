"""Lines of a label file, plain or gzip, one after the other: no file, however made, takes more memory than one line.

Reads    bytes of unknown origin: byte order marks, UTF-16, CRLF, lines that are not UTF-8, gzip that is cut short or expands without end
Row out  Line(number=17, text='{"id": "1034-121119-0000", "start": 0.0, …}')
"""

import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from uniaudio_pipelines.source_to_raw.formats.format import Folder, Problem

MAX_LINE = 64 << 20
"""Bytes of a line; labels are text that a person wrote or read."""
_MAX_RATIO, _FREE = 200, 1 << 30
"""gzip gives at most 1,032 bytes for one, manifests give 5 to 30: beyond `_FREE` bytes, more than `_MAX_RATIO` for one is a bomb."""
MAX_EMPTY = 1 << 18
"""Empty lines in a row; a small file packed with gzip may hold millions."""
_GZIP = b"\x1f\x8b"
_BEGIN = 1 << 16
"""Bytes that are looked at to find how lines end."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""Byte order marks of UTF-16."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line that is not empty, without its end."""

    number: int
    """Number of the line, from 1."""
    text: str


def read_lines(folder: Folder, path: str, max_line: int = MAX_LINE) -> Iterator[Line | Problem]:
    """The lines of `path`; what cannot be read of it is a `Problem`, and where the rest of the file cannot be read, the last one."""
    number = 0
    try:
        with folder.open(path) as file:
            for number, data in enumerate(_raw_lines(file, max_line, folder.card.encoding), 1):
                line = _decoded(path, number, data)
                if line is not None:
                    yield line
    except _StopError as error:
        yield Problem(path=path, reason=error.reason, detail=f"after line {number}: {error}; the rest is not read")
    except UnicodeDecodeError as error:
        detail = f"after line {number}: is no {error.encoding}: {error.reason}; the rest is not read"
        yield Problem(path=path, reason="wrong_encoding", detail=detail)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        detail = f"after line {number}: gzip is broken: {error}; the rest is not read"
        yield Problem(path=path, reason="cut_short", detail=detail)
    except OSError as error:
        yield Problem(path=path, reason="unreadable", detail=f"after line {number}: {error.strerror or error}")


def first_line(folder: Folder, path: str, max_bytes: int = 1 << 20) -> str:
    """The first line that is not empty, by which a format is recognized; empty where it cannot be read or is longer."""
    for line in read_lines(folder, path, max_bytes):
        return line.text if isinstance(line, Line) else ""
    return ""


def read_objects(folder: Folder, path: str) -> Iterator[tuple[int, dict[str, Any]] | Problem]:
    """`(line number, object)` of each line of a file of JSON lines."""
    for line in read_lines(folder, path):
        if isinstance(line, Problem):
            yield line
            continue
        value = json_object(line.text)
        if value is None:
            yield Problem(
                path=path, reason="not_json", detail=f"line {line.number}: must be a JSON object: {line.text[:80]}"
            )
        else:
            yield line.number, value


def json_object(text: str | bytes) -> dict[str, Any] | None:
    """The object that `text` is in JSON; None where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def finite(value: Any) -> float | None:
    """A number that labels give as one or as text; None where it is none, or not finite."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


class _StopError(Exception):
    """The rest of a file is not read, for `reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _raw_lines(file: IO[bytes], max_line: int, encoding: str | None) -> Iterator[bytes]:
    """Lines in UTF-8, if the file is what its mark or else `encoding` says. Lines end at a line feed and nowhere else."""
    is_gzip = file.read(len(_GZIP)) == _GZIP
    num_bytes, num_read = file.seek(0, 2), 0
    file.seek(0)
    stream: IO[bytes] = gzip.GzipFile(fileobj=file) if is_gzip else file  # type: ignore[assignment]
    begin = stream.read(_BEGIN)
    stream.seek(0)
    encoding = "utf-16" if begin[:2] in UTF_16 else encoding
    # Excel for Mac still ends lines so.
    is_mac = b"\r" in begin and b"\n" not in begin
    encoding = encoding or ("utf-8" if is_mac else None)
    text = io.TextIOWrapper(stream, encoding, newline="\r" if is_mac else "\n") if encoding else None
    num_empty = 0
    while data := stream.readline(max_line + 1) if text is None else text.readline(max_line + 1).encode():
        num_read += len(data)
        num_empty = 0 if len(data) > 2 or data.strip() else num_empty + 1
        if num_empty > MAX_EMPTY:
            raise _StopError("empty_lines", f"more than {MAX_EMPTY} empty lines follow")
        if len(data) > max_line:
            raise _StopError("line_too_long", f"the next line has more than {max_line} bytes")
        if is_gzip and num_read > _FREE and num_read > _MAX_RATIO * num_bytes:
            raise _StopError("gzip_bomb", f"{num_bytes} bytes of gzip gave {num_read} bytes already")
        yield data


def _decoded(path: str, number: int, data: bytes) -> Line | Problem | None:
    try:
        text = data.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        return Problem(path=path, reason="not_utf8", detail=f"line {number}, byte {error.start}: {error.reason}")
    if "\0" in text:
        return Problem(path=path, reason="not_text", detail=f"line {number}: holds NUL characters")
    return Line(number=number, text=text) if text.strip() else None
