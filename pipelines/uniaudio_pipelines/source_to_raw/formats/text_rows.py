"""The rows of a file of documents, plain or packed (gzip, zstd), one after the other.

Reads    tales.jsonl.gz    {"text": "Once upon a time …", "title": "A tale"}
Row out  (81234, {"text": "Once upon a time …", "title": "A tale"})

The number is the byte of the unpacked file at which a line of JSON begins, and the number of a row elsewhere, from 1.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from uniaudio_schemas.errors import DataError

from uniaudio_pipelines.source_to_raw.formats.audio_names import suffix_of
from uniaudio_pipelines.source_to_raw.formats.lines import MAX_EMPTY, MAX_LINE, json_object

PACKED = (".gz", ".zst")
_MAX_RATIO, _FREE = 200, 1 << 30
"""Beyond `_FREE` bytes, a file that gives more than `_MAX_RATIO` bytes for one is a bomb: texts shrink to a third or a fifth."""
_MAX_JSON = 256 << 20
"""Bytes of one value of JSON, or of one text, which is read as a whole."""
Row = tuple[int, dict[str, Any] | None]


def rows_of(file: Path) -> Iterator[Row]:
    """Place and values of each row; None for values that are none. `DataError` where the rest cannot be read."""
    packing = suffix_of(file.name) if suffix_of(file.name) in PACKED else ""
    kind = suffix_of(file.name.removesuffix(file.suffix)) if packing else suffix_of(file.name)
    # The same letters may be called `.json`, one object a line.
    read = {".csv": _table, ".tsv": _table, ".json": _json, ".txt": _whole}.get(kind, _lines)
    try:
        with _opened(file, packing) as opened:
            yield from read(opened, "\t" if kind == ".tsv" else ",")
    except (EOFError, zlib.error, OSError, csv.Error, ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read: {' '.join(str(error).split())[:200]}.") from error


def _opened(file: Path, packing: str) -> IO[bytes]:
    if packing == ".zst":
        import pyarrow as pa

        stream = pa.CompressedInputStream(pa.OSFile(str(file)), "zstd")
        return io.BufferedReader(_Bounded(stream, file.stat().st_size))
    if packing:
        return io.BufferedReader(_Bounded(gzip.open(file, "rb"), file.stat().st_size))
    return file.open("rb")


class _Bounded(io.RawIOBase):
    """An unpacked stream that ends with an OSError where a few bytes give more than any text does."""

    def __init__(self, stream: Any, num_packed: int) -> None:
        self._stream, self._num_packed, self._num_read = stream, num_packed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._num_read += len(data)
        if self._num_read > _FREE and self._num_read > _MAX_RATIO * self._num_packed:
            raise OSError(f"{self._num_packed} bytes gave {self._num_read} bytes already")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _lines(opened: IO[bytes], _: str) -> Iterator[Row]:
    offset, num_empty = 0, 0
    while line := opened.readline(MAX_LINE + 1):
        start, offset = offset, offset + len(line)
        num_empty = 0 if len(line) > 2 else num_empty + 1
        if num_empty > MAX_EMPTY:
            raise ValueError(f"more than {MAX_EMPTY} empty lines follow byte {start}")
        if start == 0 and line.startswith(b"\xef\xbb\xbf"):
            start, line = 3, line[3:]
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = opened.readline(MAX_LINE)
                offset += len(line)
            yield start, None
        elif line.strip():
            yield start, json_object(line)


def _table(opened: IO[bytes], delimiter: str) -> Iterator[Row]:
    """With a header; quotes as the standard has them, as libraries write texts with line breaks."""
    text = io.TextIOWrapper(opened, "utf-8-sig", newline="")
    for number, values in enumerate(csv.DictReader(text, delimiter=delimiter), 1):
        yield number, {name: value for name, value in values.items() if isinstance(name, str) and value is not None}


def _json(opened: IO[bytes], _: str) -> Iterator[Row]:
    first = opened.readline(MAX_LINE)
    if json_object(first) is not None and first.endswith(b"\n"):
        yield 0, json_object(first)
        for offset, values in _lines(opened, _):
            yield len(first) + offset, values
        return
    data = first + opened.read(_MAX_JSON - len(first) + 1)
    if len(data) > _MAX_JSON:
        raise ValueError(f"one JSON value has more than {_MAX_JSON} bytes")
    value = json.loads(data.decode("utf-8-sig"))
    if isinstance(value, dict):
        value = max((one for one in value.values() if isinstance(one, list)), key=len, default=[value])
    for number, one in enumerate(value if isinstance(value, list) else [], 1):
        yield number, one if isinstance(one, dict) else None


def _whole(opened: IO[bytes], _: str) -> Iterator[Row]:
    data = opened.read(_MAX_JSON + 1)
    if len(data) > _MAX_JSON:
        raise ValueError(f"one text has more than {_MAX_JSON} bytes")
    yield 1, {"text": data.decode("utf-8-sig")}
