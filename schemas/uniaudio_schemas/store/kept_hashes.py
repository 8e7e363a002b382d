"""Hashes of rows of published shards, so that a version that names a shard again does not read it to learn what it holds.

    <kind>/hashes/<sha256>.arrow      rows (id, hash) of the shards that one version made, a record batch each, whose metadata are
                                      {"shard": "77aa…"}, the shard's sha256; metadata of the file {"schema": "cuts.v2"}

No version names these files, and any of them may go: what is not here is computed from the shard itself, and kept with what the next
version makes. They are written as the hashes come and read as mapped files, so that no number of rows fills the memory.
"""

import mmap
from collections.abc import Iterable
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import hash_file
from uniaudio_schemas.kinds.record import Schema
from uniaudio_schemas.store import layout
from uniaudio_schemas.store.content import HASHES
from uniaudio_schemas.store.files import TEMPORARY_PREFIX, FileEntry, Files, Temporary
from uniaudio_schemas.store.shards import HashingFile

_NEWEST = 4
"""Files of which a writer looks for shards that it puts again."""


class Hashes(dict[str, pa.Table]):
    """sha256 of shards -> `HASHES` of their rows, which lie in mapped files."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        """Read the hashes in `file`, which must be open and may have no name; without a file there are none."""
        super().__init__()
        self.schema, self._mapped = "", set[mmap.mmap]()
        if file is not None:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._mapped.add(mapped)
            self._parse(pa.ipc.open_file(pa.py_buffer(mapped)))

    def _parse(self, reader: Any) -> None:
        """A batch that does not say its shard, as those of earlier times, says nothing."""
        if reader.schema != HASHES:
            raise pa.ArrowInvalid(f"it holds {', '.join(reader.schema.names)}")
        self.schema = (reader.schema.metadata or {}).get(b"schema", b"").decode()
        for number in range(reader.num_record_batches):
            batch, metadata = reader.get_batch_with_custom_metadata(number)
            if metadata and b"shard" in metadata:
                self[metadata[b"shard"].decode()] = pa.Table.from_batches([batch]).replace_schema_metadata(None)

    def take(self, other: "Hashes") -> None:
        """What it has not."""
        if new := other.keys() - self.keys():
            self.update((shard, other[shard]) for shard in new)
            self._mapped |= other._mapped

    def let_go(self) -> None:
        """Release the pages that were read, which count as memory of this process. They are read again when they are needed."""
        for mapped in self._mapped:
            mapped.madvise(mmap.MADV_DONTNEED)


def read_hashes(files: Files, schema: Schema, wanted: Iterable[str]) -> Hashes:
    """Hashes of those of the `wanted` shards (sha256) that are kept here. DataError where the bytes of a file have changed."""
    missing, hashes = set(wanted), Hashes()
    for entry in _newest_first(files, schema.kind) if missing else ():
        file_hashes = _read(files, entry)
        if file_hashes.schema == _name(schema) and missing & file_hashes.keys():
            hashes.take(file_hashes)
            missing -= file_hashes.keys()
        if not missing:
            break
    return hashes


def read_newest(files: Files, schema: Schema) -> Hashes:
    """What the last versions made: most of what a run makes again without a change."""
    hashes = Hashes()
    for entry in _newest_first(files, schema.kind)[:_NEWEST]:
        file_hashes = _read(files, entry)
        if file_hashes.schema == _name(schema):
            hashes.take(file_hashes)
    return hashes


class HashesFile:
    """Hashes on their way into an open file, of one shard after the other."""

    def __init__(self, file: BinaryIO, schema: Schema) -> None:
        self._file, self._kind, self._sink = file, schema.kind, HashingFile(file)
        self._schema = HASHES.with_metadata({"schema": _name(schema)})
        self._writer = pa.ipc.new_file(pa.PythonFile(self._sink, mode="w"), self._schema)
        self._shards = set[str]()

    def add(self, shard: str, hashes: pa.Table) -> None:
        """`HASHES` of the rows of a shard (sha256)."""
        if shard not in self._shards:
            self._shards.add(shard)
            columns = [hashes[name].combine_chunks() for name in HASHES.names]
            batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
            self._writer.write_batch(batch, custom_metadata={"shard": shard})

    def ended(self) -> Hashes:
        """What was added, as it lies in the file."""
        self._writer.close()
        self._file.flush()
        return Hashes(self._file)

    def keep(self, temporary: Temporary) -> None:
        """Give the file that has ended its name; one without shards gets none."""
        if self._shards:
            path = layout.hashes_path(self._kind, self._sink.digest.hexdigest())
            temporary.commit_content(path, self._sink.num_bytes)


def _newest_first(files: Files, kind: str) -> list[FileEntry]:
    return sorted(hash_files(files, kind), key=lambda entry: entry.modified_at, reverse=True)


def hash_files(files: Files, kind: str) -> list[FileEntry]:
    entries = files.entries(layout.hashes_folder(kind))
    return [entry for entry in entries if not _file_name(entry).startswith(TEMPORARY_PREFIX)]


def unneeded(files: Files, kind: str, named: set[str], *, strict: bool = False) -> list[str]:
    """Paths of the files that say nothing of a `named` shard (sha256) which another does not say. `strict`: and of those that say
    something of a shard which is not named."""
    entries = hash_files(files, kind)
    holds = dict(zip(entries, ({*kept} for kept in files.each(partial(_read, files), entries)), strict=True))
    covered, garbage = set[str](), list[str]()
    for entry in sorted(entries, key=lambda entry: (-len(holds[entry] & named), entry.path)):
        adds = (holds[entry] & named) - covered
        if not adds or (strict and holds[entry] - named):
            garbage.append(entry.path)
        else:
            covered |= adds
    return garbage


def _read(files: Files, entry: FileEntry) -> Hashes:
    sha256 = _file_name(entry).removesuffix(".arrow")
    path = files.local_path(entry.path, entry.num_bytes, sha256)
    if hash_file(path) != sha256:
        raise DataError(f"{path}: has other bytes than its name says; remove it, and it is made again.")
    try:
        with path.open("rb") as file:
            return Hashes(file)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: must hold ids and hashes of rows ({error}).") from error


def _file_name(entry: FileEntry) -> str:
    return entry.path.rpartition("/")[2]


def _name(schema: Schema) -> str:
    return f"{schema.kind}.v{schema.version}"
