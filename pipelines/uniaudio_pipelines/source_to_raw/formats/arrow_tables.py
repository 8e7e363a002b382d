"""Rows of Parquet files and of Arrow streams and files of unknown origin, some columns at a time.

Reads    data/train-00000-of-00003.parquet; train/data-00000-of-00001.arrow
Row out  of `rows(["text", "audio.path"])`    (17, {"text": "A B", "audio": {"path": "a.wav"}})
         of `values("audio.bytes", 17)`       (17, b"RIFF…")

Memory: a column that is not asked for is not read; of one that is, Parquet gives a page and Arrow, which is mapped, nothing but what is looked at.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
from uniaudio_schemas.errors import DataError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

PARQUET, ARROW_FILE, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
ERRORS = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, NotImplementedError)
"""What the libraries raise on files that are broken."""
_ROWS_AT_ONCE = 256
"""Rows of labels read at once. Audio is read row by row: a dictionary can repeat one large value without end."""
_PAGE_BUFFER = 1 << 20


class ArrowTable(Protocol):
    schema: pa.Schema

    def rows(self, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]] | str]:
        """`(number, values)` of each row; what is wrong with rows that are left out is a text. `a.b` is the field `b` of column `a`."""
        ...

    def values(self, column: str, first: int) -> Iterator[tuple[int, Any]]:
        """`(number, value)` of one column from the row `first` on. `DataError` where it is broken."""
        ...

    def is_there(self, column: str) -> Iterator[tuple[int, bool]]:
        """`(number, whether the column has a value)` of each row; reads as little as it can."""
        ...


def open_table(file: Path) -> ArrowTable:
    """Table whose format the file's first bytes tell. `DataError` where it is no table."""
    try:
        with file.open("rb") as opened:
            start = opened.read(8)
        if start.startswith(PARQUET):
            return _Parquet(file)
        if start.startswith((ARROW_FILE, ARROW_STREAM)):
            return _Arrow(file, is_stream=start.startswith(ARROW_STREAM))
    except ERRORS as error:
        raise DataError(f"{file}: is broken: {_shown(error)}") from error
    raise DataError(f"{file}: is neither Parquet nor Arrow.")


def _shown(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _inner(value: Any, column: str) -> Any:
    """The value of `a.b` out of that of `a`."""
    name = column.partition(".")[2]
    return value.get(name) if name and isinstance(value, dict) else value


class _Parquet:
    def __init__(self, file: Path) -> None:
        self._file = file
        opened = self._open()
        self.schema, self._metadata = opened.schema_arrow, opened.metadata
        self._firsts = [0]
        for group in range(self._metadata.num_row_groups):
            self._firsts.append(self._firsts[-1] + max(0, self._metadata.row_group(group).num_rows))

    def _open(self) -> "pq.ParquetFile":
        import pyarrow.parquet as pq

        return pq.ParquetFile(self._file, memory_map=False, pre_buffer=False, buffer_size=_PAGE_BUFFER)

    def rows(self, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]] | str]:
        with self._open() as opened:
            for group, first in enumerate(self._firsts[:-1]):
                number, end = first, self._firsts[group + 1]
                if not columns:
                    yield from ((number, {}) for number in range(first, end))
                    continue
                try:
                    for batch in opened.iter_batches(_ROWS_AT_ONCE, [group], columns, use_threads=False):
                        yield from _rows(batch, number)
                        number += batch.num_rows
                except ERRORS as error:
                    yield f"rows {number} to {end - 1} cannot be read: {_shown(error)}"

    def values(self, column: str, first: int) -> Iterator[tuple[int, Any]]:
        try:
            with self._open() as opened:
                for group, number in enumerate(self._firsts[:-1]):
                    if self._firsts[group + 1] <= first:
                        continue
                    for batch in opened.iter_batches(1, [group], [column], use_threads=False):
                        if number >= first:
                            yield number, _inner(batch.column(0)[0].as_py(), column)
                        number += 1
        except ERRORS as error:
            raise DataError(f"{self._file}: cannot be read: {_shown(error)}") from error

    def is_there(self, column: str) -> Iterator[tuple[int, bool]]:
        names = [self._metadata.schema.column(index).path for index in range(self._metadata.num_columns)]
        for group in range(self._metadata.num_row_groups):
            num_rows = self._firsts[group + 1] - self._firsts[group]
            counted = self._metadata.row_group(group).column(names.index(column)).statistics
            num_null = counted.null_count if counted is not None and counted.has_null_count else -1
            if num_null in (0, num_rows):
                yield from ((row, num_null == 0) for row in range(self._firsts[group], self._firsts[group + 1]))
            else:
                values = itertools.islice(self.values(column, self._firsts[group]), num_rows)
                yield from ((row, value is not None) for row, value in values)


class _Arrow:
    def __init__(self, file: Path, *, is_stream: bool) -> None:
        self._file, self._is_stream = file, is_stream
        with pa.memory_map(str(file)) as mapped:
            self.schema = (pa.ipc.open_stream if is_stream else pa.ipc.open_file)(mapped).schema

    def _batches(self) -> Iterator[tuple[int, pa.RecordBatch | str]]:
        """The number of the first row, and the batch, or what is wrong with it."""
        number = 0
        with pa.memory_map(str(self._file)) as mapped:
            if self._is_stream:
                batches = iter(pa.ipc.open_stream(mapped))
            else:
                opened = pa.ipc.open_file(mapped)
                batches = (opened.get_batch(index) for index in range(opened.num_record_batches))
            try:
                for batch in batches:
                    yield number, _sound(batch, number)
                    number += batch.num_rows
            except ERRORS as error:
                yield number, f"row {number} and what follows cannot be read: {_shown(error)}"

    def rows(self, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]] | str]:
        for first, batch in self._batches():
            if isinstance(batch, str):
                yield batch
                continue
            named = pa.RecordBatch.from_arrays([self._part(batch, name) for name in columns], names=columns)
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                if columns:
                    yield from _rows(named.slice(start, _ROWS_AT_ONCE), first + start)
                else:
                    yield from (
                        (first + index, {}) for index in range(start, min(start + _ROWS_AT_ONCE, batch.num_rows))
                    )

    def values(self, column: str, first: int) -> Iterator[tuple[int, Any]]:
        for number, batch in self._batches():
            if isinstance(batch, str):
                raise DataError(f"{self._file}: {batch}")
            part = self._part(batch, column)
            for index in range(max(0, min(first - number, batch.num_rows)), batch.num_rows):
                yield number + index, part[index].as_py()

    def is_there(self, column: str) -> Iterator[tuple[int, bool]]:
        for number, batch in self._batches():
            if not isinstance(batch, str):  # `rows` says so
                part = self._part(batch, column)
                yield from ((number + index, part[index].is_valid) for index in range(batch.num_rows))

    def _part(self, batch: pa.RecordBatch, column: str) -> pa.Array:
        import pyarrow.compute as pc

        name, _, inner = column.partition(".")
        whole = batch.column(batch.schema.get_field_index(column if column in batch.schema.names else name))
        # By a function that knows of structs that are null themselves.
        return pc.struct_field(whole, inner) if inner and column not in batch.schema.names else whole


def _sound(batch: pa.RecordBatch, number: int) -> pa.RecordBatch | str:
    """The batch, or what is wrong with it: offsets of a broken file point anywhere."""
    try:
        batch.validate(full=True)
    except ERRORS as error:
        return f"rows {number} to {number + batch.num_rows - 1} cannot be read: {_shown(error)}"
    return batch


def _rows(batch: pa.RecordBatch, number: int) -> Iterator[tuple[int, dict[str, Any]] | str]:
    """Rows one by one where a value of one of them is broken."""
    try:
        yield from ((number + index, _nested(values)) for index, values in enumerate(batch.to_pylist()))
    except ValueError:
        for index in range(batch.num_rows):
            try:
                yield number + index, _nested(batch.slice(index, 1).to_pylist()[0])
            except ValueError as error:
                yield f"row {number + index} cannot be read: {_shown(error)}"


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """`{"audio.path": "a"}` as Parquet gives it: `{"audio": {"path": "a"}}`."""
    made: dict[str, Any] = {}
    for column, value in values.items():
        name, _, inner = column.partition(".")
        if inner:
            made.setdefault(name, {})[inner] = value
        else:
            made[column] = value
    return made
