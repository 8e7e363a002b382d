"""Hashes of rows of published shards, so that a version that names a shard again does not read it to learn what it holds.

    <kind>/hashes/<sha256>.arrow      rows (id, hash) of the shards that one version made; metadata {"schema": "cuts.v2",
                                      "shards": '[["77aa…", 8192], …]'}: sha256 of each shard and its number of rows, in order

No version names these files, and any of them may go: what is not here is computed from the shard itself, and kept with what the next
version makes.
"""

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import canonical_json, hash_bytes, hash_file
from uniaudio_schemas.kinds.record import Schema
from uniaudio_schemas.store import layout
from uniaudio_schemas.store.content import HASHES
from uniaudio_schemas.store.files import TEMPORARY_PREFIX, FileEntry, Files

_Table = Mapping[str, pa.Table]
"""sha256 of a shard -> `HASHES` of its rows."""


_NEWEST = 4
"""Files of which a writer looks for shards that it puts again."""


class _Kept(NamedTuple):
    schema: str
    tables: dict[str, pa.Table]


def read_hashes(files: Files, schema: Schema, wanted: Iterable[str]) -> dict[str, pa.Table]:
    """Of those of the `wanted` shards (sha256) that are kept here; memory-mapped. DataError where a file's bytes changed."""
    left, found = set(wanted), dict[str, pa.Table]()
    for entry in _newest_first(files, schema.kind) if left else ():
        kept = _read(files, entry)
        if kept.schema == _name(schema):
            found |= {shard: kept.tables[shard] for shard in left & kept.tables.keys()}
            left -= found.keys()
        if not left:
            break
    return found


def read_newest(files: Files, schema: Schema) -> dict[str, pa.Table]:
    """What the last versions made: most of what a run makes again without a change."""
    kept = [_read(files, entry) for entry in _newest_first(files, schema.kind)[:_NEWEST]]
    return {shard: table for one in kept if one.schema == _name(schema) for shard, table in one.tables.items()}


def write_hashes(files: Files, schema: Schema, folder: str, tables: _Table) -> None:
    """`folder`: where a local file waits until it has its name."""
    if not tables:
        return
    shards = [[shard, len(table)] for shard, table in tables.items()]
    joined = pa.concat_tables([table.replace_schema_metadata(None) for table in tables.values()]).combine_chunks()
    described = joined.replace_schema_metadata({"schema": _name(schema), "shards": canonical_json(shards)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, described.schema) as writer:
        writer.write_table(described)
    data = sink.getvalue()
    with files.temporary(folder) as temporary:
        temporary.file.write(data)
        temporary.commit_content(layout.hashes_path(schema.kind, hash_bytes(memoryview(data))), data.size)


def _newest_first(files: Files, kind: str) -> list[FileEntry]:
    return sorted(hash_files(files, kind), key=lambda entry: entry.modified_at, reverse=True)


def hash_files(files: Files, kind: str) -> list[FileEntry]:
    entries = files.entries(layout.hashes_folder(kind))
    return [entry for entry in entries if not _file_name(entry).startswith(TEMPORARY_PREFIX)]


def unneeded(files: Files, kind: str, named: set[str], *, strict: bool = False) -> list[str]:
    """Paths of the files that say nothing of a `named` shard (sha256) which another does not say. `strict`: and of those that say
    something of a shard which is not named."""
    entries = hash_files(files, kind)
    holds = dict(zip(entries, ({*kept.tables} for kept in files.each(partial(_read, files), entries)), strict=True))
    covered, garbage = set[str](), list[str]()
    for entry in sorted(entries, key=lambda entry: (-len(holds[entry] & named), entry.path)):
        adds = (holds[entry] & named) - covered
        if not adds or (strict and holds[entry] - named):
            garbage.append(entry.path)
        else:
            covered |= adds
    return garbage


def _read(files: Files, entry: FileEntry) -> _Kept:
    sha256 = _file_name(entry).removesuffix(".arrow")
    path = files.local_path(entry.path, entry.num_bytes, sha256)
    if hash_file(path) != sha256:
        raise DataError(f"{path}: has other bytes than its name says; remove it, and it is made again.")
    return _parsed(path)


def _parsed(path: Path) -> _Kept:
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        table = reader.read_all()
    if table.schema != HASHES:
        raise DataError(f"{path}: must hold ids and hashes of rows, but holds {table.schema.names}.")
    tables, begin = dict[str, pa.Table](), 0
    for shard, num_rows in json.loads(table.schema.metadata[b"shards"]):
        tables[shard] = table.slice(begin, num_rows).replace_schema_metadata(None)
        begin += num_rows
    return _Kept(table.schema.metadata[b"schema"].decode(), tables)


def _file_name(entry: FileEntry) -> str:
    return entry.path.rpartition("/")[2]


def _name(schema: Schema) -> str:
    return f"{schema.kind}.v{schema.version}"
