"""sha256 of the source's files, remembered by path and what changes with a file's bytes, in one Arrow file.

A copy that keeps the modification time (`cp -p`) changes the inode or the time of the inode's change. What lies in a container is
remembered by the container's own sha256.

Row  {"path": "queen/DALT0001.mp3", "size": 14228, "mtime_ns": …, "ctime_ns": …, "inode": 81, "sha256": "5f1c…"}
"""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from uniaudio_schemas.fingerprint import hash_bytes, hash_file, hash_json
from uniaudio_schemas.store.files import one_line_errors

from uniaudio_pipelines.source_to_raw.formats.format import Container
from uniaudio_pipelines.source_to_raw.scan import FILES

_KEY = ["path", "size", "mtime_ns", "ctime_ns", "inode"]
_HASHES = pa.schema([*(FILES.field(name) for name in _KEY), pa.field("sha256", pa.string(), nullable=False)])
MEMBERS = pa.schema(
    [(name, kind) for name, kind in (("member", pa.string()), ("size", pa.int64()), ("sha256", pa.string()))]
)
OF_CONTAINERS = "containers"
"""Folder of the cache with the hashes of containers: each listing keeps the hashes of what it asked for, and asks for those apart."""
_THREADS = 4
"""Reading waits for the disk; hashing lets go of the interpreter."""


def hash_files(root: Path, files: pa.Table, cache: Path) -> tuple[pa.Table, dict[str, str]]:
    """`files` (of `FILES`, without problems) with a column `sha256`, empty where a file could not be read; and path -> why."""
    import polars as pl

    place = hashes_path(root, cache)
    wanted: Any = pl.from_arrow(files)
    known: Any = pl.from_arrow(_read(place, _HASHES))
    joined = wanted.join(known, on=_KEY, how="left", maintain_order="left")
    missing = joined.filter(pl.col("sha256").is_null())["path"].to_list()
    made, problems = _hash(root, missing)
    new = pl.DataFrame({"path": missing, "made": made}, schema={"path": pl.String, "made": pl.String})
    joined = joined.join(new, on="path", how="left", maintain_order="left")
    joined = joined.with_columns(sha256=pl.coalesce("sha256", "made", pl.lit(""))).drop("made")
    if missing or len(known) != len(joined):
        kept = joined.filter(pl.col("sha256") != "").select(_HASHES.names)
        write_arrow(place, kept.to_arrow().cast(_HASHES))
    return joined.to_arrow(), problems


def _hash(root: Path, paths: list[str]) -> tuple[list[str], dict[str, str]]:
    problems: dict[str, str] = {}

    def one(path: str) -> str:
        try:
            return hash_file(root / path)
        except OSError as error:
            problems[path] = error.strerror or "cannot be read"
            return ""

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(one, paths)), problems


def hash_members(file: Path, sha256: str, container: Container, cache: Path) -> pa.Table:
    """`MEMBERS` of a container with these bytes. `DataError` where it is broken."""
    place = cache / f"members-{hash_json([sha256, container.name])[:32]}.arrow"
    with contextlib.suppress(OSError, pa.ArrowInvalid):
        return _checked(place, MEMBERS)
    batches, rows = [], []
    for member, data in container.walk(file):
        rows.append((member, len(data), hash_bytes(data)))
        if len(rows) == 1 << 14:
            batches.append(_batch(rows))
            rows.clear()
    table = pa.Table.from_batches([*batches, _batch(rows)], MEMBERS)
    write_arrow(place, table)
    return table


def _batch(rows: list[tuple[str, int, str]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    return pa.RecordBatch.from_arrays(
        [pa.array(column, kind.type) for column, kind in zip(columns, MEMBERS, strict=True)], schema=MEMBERS
    )


def forget_hashes(root: Path, cache: Path) -> None:
    """Have the next listing read every file: a remembered hash was not the file's."""
    for folder in (cache, cache / OF_CONTAINERS):
        hashes_path(root, folder).unlink(missing_ok=True)


def hashes_path(root: Path, cache: Path) -> Path:
    return cache / f"hashes-{hash_json(str(root))[:16]}.arrow"


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    """A cache: one that is missing or broken is an empty one."""
    try:
        return _checked(path, schema)
    except (OSError, pa.ArrowInvalid):
        return schema.empty_table()


def _checked(path: Path, schema: pa.Schema) -> pa.Table:
    with pa.OSFile(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    if table.schema != schema:
        raise pa.ArrowInvalid(f"{path}: another schema")
    return table


def write_arrow(path: Path, table: pa.Table, batches: Iterator[pa.RecordBatch] | None = None) -> None:
    """Atomic. `batches` where the cut into record batches matters."""
    with one_line_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                for batch in batches if batches is not None else table.to_batches(max_chunksize=1 << 16):
                    writer.write_batch(batch)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
