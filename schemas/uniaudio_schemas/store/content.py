"""Content ids: one hash a row from its values alone, and one hash over the rows in id order.

A row's hash does not depend on the record batch, shard or file it lies in, nor on what Arrow keeps below a null. For every
column the elements of the row are hashed, each list and string with its length first, so that equal hashes mean equal rows.
"""

import hashlib
import itertools
from collections.abc import Iterable
from typing import cast

import numpy as np
import pyarrow as pa

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import short
from uniaudio_schemas.kinds.record import Schema

_Piece = np.ndarray | tuple[memoryview, list[int]]
"""Bytes, and the bounds of each row in them; or `[rows, bytes of a row]` uint8 where all rows have as many."""

HASHES = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("hash", pa.binary(32), nullable=False)])


def row_hashes(table: pa.Table, schema: Schema) -> pa.Table:
    """`id` and `hash` (sha256) of each row, in the table's order."""
    hashes: list[bytes] = []
    for batch in table.select(schema.arrow.names).to_batches():
        hashes += _batch_hashes(batch, schema)
    ids = table[schema.id_field].combine_chunks()
    return pa.table([ids, pa.array(hashes, HASHES.field("hash").type)], schema=HASHES)


def content_id(hashes: Iterable[pa.Table], schema: Schema) -> str:
    """32 hex digits over all rows; an id that two shards share is a `DataError`."""
    table = pa.concat_tables([HASHES.empty_table(), *hashes]).sort_by([("id", "ascending"), ("hash", "ascending")])
    digest = hashlib.sha256(f"{schema.kind}.v{schema.version}.{len(table)}\n".encode())
    previous = None
    for batch in table.to_batches(max_chunksize=1 << 16):
        for row_id, row_hash in zip(batch["id"].to_pylist(), batch["hash"].to_pylist(), strict=True):
            if row_id == previous and schema.unique:
                raise DataError(f"{schema.kind}: `{schema.id_field}` {row_id!r} is in two shards of one version.")
            previous = row_id
            digest.update(row_hash)
    return short(digest.hexdigest())


def _batch_hashes(batch: pa.RecordBatch, schema: Schema) -> list[bytes]:
    pieces: list[_Piece] = []
    rows = np.arange(len(batch) + 1, dtype=np.int64)
    for field in schema.arrow:
        _add_pieces(batch.column(field.name), field.nullable, rows, pieces)
    joined = _joined(pieces)
    hashes = []
    for i in range(len(batch)):
        digest = hashlib.sha256()
        for data, bounds in joined:
            digest.update(data[bounds[i] : bounds[i + 1]])
        hashes.append(digest.digest())
    return hashes


def _joined(pieces: list[_Piece]) -> list[tuple[memoryview, list[int]]]:
    """Neighbours that have as many bytes in every row become one: a hash is the same for one long piece as for many short ones."""
    found: list[tuple[memoryview, list[int]]] = []
    for is_even, group in itertools.groupby(pieces, lambda piece: isinstance(piece, np.ndarray)):
        if is_even:
            matrix = np.concatenate(cast(list[np.ndarray], list(group)), axis=1)
            width = matrix.shape[1]
            found.append((matrix.reshape(-1).data, list(range(0, (len(matrix) + 1) * width, width))))
        else:
            found += cast(list[tuple[memoryview, list[int]]], list(group))
    return found


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
    found: np.ndarray = array.is_valid().cast(pa.uint8()).to_numpy(zero_copy_only=False)
    return found


def _numbers(array: pa.Array) -> np.ndarray:
    """With 0 in place of a null."""
    if array.null_count and array.null_count == len(array):
        return np.zeros(len(array), array.type.to_pandas_dtype())
    found: np.ndarray = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    return found


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
