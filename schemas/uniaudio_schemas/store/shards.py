"""One shard: rows sorted by id in record batches of 1024, as an uncompressed Arrow IPC file with sorted metadata.

The same rows always give the same bytes; a local shard is memory-mapped and nothing of it is copied.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.migrations import conform
from uniaudio_schemas.kinds.record import BATCH_ROWS, Schema, check_ids, check_nulls, to_table


@dataclass(frozen=True, kw_only=True)
class Written:
    sha256: str
    num_bytes: int


class HashingFile:
    """Hashes what goes through it, so that a shard is not read again."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.num_bytes = 0

    def write(self, data: Any) -> int:
        block = memoryview(data)
        self.digest.update(block)
        self._file.write(block)
        self.num_bytes += block.nbytes
        return block.nbytes

    def flush(self) -> None:
        self._file.flush()


def shard_table(rows: Iterable[Any] | pa.Table, schema: Schema, where: str) -> pa.Table:
    """Rows, or a table of them, as a shard holds them: of exactly this schema, sorted, without a duplicate id."""
    if not isinstance(rows, pa.Table):
        return to_table(rows, schema.row_class)
    table = conform(rows, schema, where, dict(rows.schema.metadata or {}))
    for field in schema.arrow:
        for chunk in table[field.name].chunks:
            try:
                check_nulls(chunk, field)
            except ValueError as error:
                raise DataError(f"{where}: column `{field.name}`: {error}.") from error
    ids = table[schema.id_field].to_pylist()
    if any(left > right for left, right in zip(ids, ids[1:], strict=False)):
        table = table.sort_by(schema.id_field)
        ids.sort()
    check_ids(ids, schema)
    return table


def write_shard(file: BinaryIO, table: pa.Table, schema: Schema, metadata: dict[str, str]) -> Written:
    """Into an open binary file; returns what the manifest says of it."""
    reserved = {key.decode(): value.decode() for key, value in schema.arrow.metadata.items()}
    for name in reserved.keys() & metadata.keys():
        if metadata[name] != reserved[name]:
            raise UsageError(f"`metadata` must leave {name!r} to the store, but sets it to {metadata[name]!r}.")
    combined = table.replace_schema_metadata(dict(sorted({**metadata, **reserved}.items()))).combine_chunks()
    sink = HashingFile(file)
    options = pa.ipc.IpcWriteOptions(compression=None, use_threads=False)
    with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), combined.schema, options=options) as writer:
        writer.write_table(combined, max_chunksize=BATCH_ROWS)
    return Written(sha256=sink.digest.hexdigest(), num_bytes=sink.num_bytes)


def read_shard(path: Path) -> pa.Table:
    """Memory-mapped. A file that is no shard is a `DataError` that names it."""
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            table: pa.Table = reader.read_all()
            return table
    except (pa.ArrowInvalid, pa.ArrowSerializationError, OSError) as error:
        raise DataError(f"{path}: not a shard ({' '.join(str(error).split())}).") from error


def version_of(table: pa.Table, kind: str, path: Path) -> int:
    """Schema version that a shard's metadata states; another kind is a `DataError`."""
    metadata = table.schema.metadata or {}
    kind_of_shard, version = metadata.get(b"kind", b"").decode(), metadata.get(b"schema_version", b"").decode()
    if kind_of_shard != kind or not version.isdigit():
        raise DataError(f"{path}: must be a shard of {kind}, but says kind {kind_of_shard!r}, version {version!r}.")
    return int(version)
