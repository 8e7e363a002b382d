"""Content ids: one hash a row from its values alone, and one hash over the rows in id order.

A row's hash does not depend on the record batch, shard or file it lies in, nor on what Arrow keeps below a null. For every
column the elements of the row are hashed, each list and string with its length first, so that equal hashes mean equal rows.
"""

import bisect
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import short
from uniaudio_schemas.kinds.record import Schema

_Piece = np.ndarray | tuple[memoryview, list[int]]
"""Bytes, and the bounds of each row in them; or `[rows, bytes of a row]` uint8 where all rows have as many."""

_WINDOW_ROWS = 1 << 18
_STEP_ROWS = 1024
HASHES = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("hash", pa.binary(32), nullable=False)])


def row_hashes(table: pa.Table, schema: Schema) -> pa.Table:
    """`id` and `hash` (sha256) of each row, in the table's order."""
    hashes: list[bytes] = []
    for batch in table.select(schema.arrow.names).to_batches():
        hashes += _batch_hashes(batch, schema)
    ids = table[schema.id_field].combine_chunks()
    return pa.table([ids, pa.array(hashes, HASHES.field("hash").type)], schema=HASHES)


def content_id(hashes: Iterable[pa.Table], schema: Schema, between: Callable[[], None] = lambda: None) -> str:
    """32 hex digits over all rows; an id that two shards share is a `DataError`. Each table is sorted by id.

    Of tables that lie in mapped files, as `kept_hashes` gives them, some hundred thousand rows are in memory at a time; `between`
    is called behind them.
    """
    tables = [table for table in hashes if len(table)]
    num_rows = sum(map(len, tables))
    digest = hashlib.sha256(f"{schema.kind}.v{schema.version}.{num_rows}\n".encode())
    for window in _in_order(tables, schema, between):
        ids, row_hashes = (window.column(name).combine_chunks() for name in HASHES.names)
        twice = pc.index(pc.equal(ids[1:], ids[:-1]), True).as_py()
        if twice >= 0 and schema.unique:
            raise DataError(
                f"{schema.kind}: `{schema.id_field}` {ids[twice].as_py()!r} is in two shards of one version."
            )
        digest.update(row_hashes.buffers()[1][32 * row_hashes.offset :][: 32 * len(row_hashes)])
        between()
    return short(digest.hexdigest())


def _in_order(tables: Sequence[pa.Table], schema: Schema, between: Callable[[], None]) -> Iterator[pa.Table]:
    """All rows by id, those of one id by hash, cut between two ids; each table is sorted by id."""
    begins = [0] * len(tables)
    keys = [("id", "ascending"), ("hash", "ascending")][: 1 if schema.unique else 2]
    borders = _borders(tables)
    between()
    for border in (*borders, None):
        parts = [HASHES.empty_table()]
        for number, table in enumerate(tables):
            begin = begins[number]
            begins[number] = len(table) if border is None else _rows_below(border, table["id"], begin)
            if begins[number] > begin:
                parts.append(table.slice(begin, begins[number] - begin))
        # In one piece it is sorted ten times as fast as in a thousand.
        yield pa.concat_tables(parts).combine_chunks().sort_by(keys)


def _borders(tables: Sequence[pa.Table]) -> list[str]:
    """Ids between which about `_WINDOW_ROWS` rows lie. One row of `_STEP_ROWS` is asked for its id, and stands for those behind it."""
    if sum(map(len, tables)) <= _WINDOW_ROWS:
        return []
    positions = [np.arange(0, len(table), _STEP_ROWS) for table in tables]
    ids = pa.chunked_array(
        [table["id"].take(pa.array(rows)).combine_chunks() for table, rows in zip(tables, positions, strict=True)]
    )
    stands_for = np.concatenate(
        [np.diff(rows, append=len(table)) for table, rows in zip(tables, positions, strict=True)]
    )
    order = pc.sort_indices(ids).to_numpy()
    windows = np.cumsum(stands_for[order]) // _WINDOW_ROWS
    firsts = np.flatnonzero(np.diff(windows)) + 1
    return cast(list[str], pc.unique(ids.take(pa.array(order[firsts]))).to_pylist())


def _rows_below(border: str, ids: pa.ChunkedArray, begin: int) -> int:
    """How many of the sorted `ids` are below the border; `begin` are known to be."""
    if begin == len(ids) or ids[begin].as_py() >= border:
        return begin
    if ids[-1].as_py() < border:
        return len(ids)
    return bisect.bisect_left(range(len(ids)), border, lo=begin, key=lambda row: ids[row].as_py())


def _batch_hashes(batch: pa.RecordBatch, schema: Schema) -> list[bytes]:
    pieces: list[_Piece] = []
    rows = np.arange(len(batch) + 1, dtype=np.int64)
    for field in schema.arrow:
        _add_pieces(batch.column(field.name), field.nullable, rows, pieces)
    parts = _joined(pieces)
    hashes = []
    for i in range(len(batch)):
        digest = hashlib.sha256()
        for data, bounds in parts:
            digest.update(data[bounds[i] : bounds[i + 1]])
        hashes.append(digest.digest())
    return hashes


def _joined(pieces: list[_Piece]) -> list[tuple[memoryview, list[int]]]:
    """Neighbours that have as many bytes in every row become one: a hash is the same for one long piece as for many short ones."""
    parts: list[tuple[memoryview, list[int]]] = []
    for is_even, group in itertools.groupby(pieces, lambda piece: isinstance(piece, np.ndarray)):
        if is_even:
            matrix = np.concatenate(cast(list[np.ndarray], list(group)), axis=1)
            width = matrix.shape[1]
            parts.append((matrix.reshape(-1).data, list(range(0, (len(matrix) + 1) * width, width))))
        else:
            parts += cast(list[tuple[memoryview, list[int]]], list(group))
    return parts


def _add_pieces(array: pa.Array, nullable: bool, bounds: np.ndarray, pieces: list[_Piece]) -> None:
    """Row i owns the elements `bounds[i]` to `bounds[i + 1]` of `array`."""
    if nullable:
        _add_fixed(_valid(array), bounds, pieces)
    kind = array.type
    if pa.types.is_struct(kind):
        for child, field in zip(array.flatten(), kind.fields, strict=True):
            _add_pieces(child, field.nullable, bounds, pieces)
    elif pa.types.is_fixed_size_list(kind):
        _add_pieces(array.flatten(), False, bounds * kind.list_size, pieces)
    elif pa.types.is_list(kind):
        lengths = _numbers(array.value_lengths()).astype(np.int64)
        _add_fixed(lengths, bounds, pieces)
        _add_pieces(array.flatten(), False, _offsets(lengths)[bounds], pieces)
    elif pa.types.is_string(kind):
        if array.null_count:
            array = pa.array([""] * len(array)) if array.null_count == len(array) else array.fill_null("")
        raw = np.frombuffer(array.buffers()[1] or b"\0\0\0\0", np.int32)
        offsets = raw[array.offset : array.offset + len(array) + 1].astype(np.int64)
        _add_fixed(offsets[1:] - offsets[:-1], bounds, pieces)
        pieces.append((memoryview(array.buffers()[2] or b""), offsets[bounds].tolist()))
    elif pa.types.is_boolean(kind):
        _add_fixed(_numbers(array.cast(pa.uint8())), bounds, pieces)
    else:
        _add_fixed(_numbers(array), bounds, pieces)


def _valid(array: pa.Array) -> np.ndarray:
    """1 for each element that is there."""
    if array.null_count in (0, len(array)):
        return np.full(len(array), array.null_count == 0, np.uint8)
    is_valid: np.ndarray = array.is_valid().cast(pa.uint8()).to_numpy(zero_copy_only=False)
    return is_valid


def _numbers(array: pa.Array) -> np.ndarray:
    """`[N]` array of the numbers, with 0 in place of a null."""
    if array.null_count and array.null_count == len(array):
        return np.zeros(len(array), array.type.to_pandas_dtype())
    numbers: np.ndarray = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    return numbers


def _add_fixed(values: np.ndarray, bounds: np.ndarray, pieces: list[_Piece]) -> None:
    values = np.ascontiguousarray(values)
    size = values.dtype.itemsize
    # As many values as rows, and no list that has none for one and two for another.
    if len(values) == len(bounds) - 1 and (bounds[1:] - bounds[:-1] == 1).all():
        pieces.append(values.view(np.uint8).reshape(len(values), size))
    else:
        pieces.append((values.view(np.uint8).data, (bounds * size).tolist()))


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
