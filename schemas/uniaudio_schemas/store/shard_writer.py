"""Putting blobs and shards of one version, in any process: what a worker does under the fencing token of its driver.

A unit counts as finished once its record (`units`) is there. It is written last, under the fence, after the shard that it names. So
a kill at any moment leaves a unit finished or not begun, and what was written under content names beside it is harmless.
"""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from uniaudio_schemas.errors import StoreError, UniaudioError, UsageError
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.migrations import schema_at
from uniaudio_schemas.kinds.record import Schema, schema_of
from uniaudio_schemas.store import layout, lease
from uniaudio_schemas.store.content import row_hashes
from uniaudio_schemas.store.files import Temporary
from uniaudio_schemas.store.kept_hashes import read_newest
from uniaudio_schemas.store.manifest import Plan, ShardInfo
from uniaudio_schemas.store.shards import Written, shard_table, write_shard
from uniaudio_schemas.store.units import Unit, read_unit, unit_bytes

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

_REASON = re.compile(r"[a-z][a-z0-9_]*")
_BLOCK_BYTES = 1 << 20
_CHECK_S = lease.LEASE_S / 3


class ShardWriter:
    """Puts blobs and shards of one plan under a fencing token; cheap to make in any worker process."""

    def __init__(self, store: "Store", plan: Plan, token: int) -> None:
        self.store, self.plan, self.token = store, plan, token
        self._files = store.files
        self._schema = schema_at(plan.kind, plan.schema_version)
        self._put: set[str] = set()
        self._checked_at = time.monotonic()

    def put_blob(self, source: bytes | str | Path | IO[bytes]) -> str:
        """Bytes, an open file from where it stands, or the file at a path, under their sha256, which is returned. What is there
        already is not written again."""
        self._check_early()
        with self._lost_lease_first(), self._files.temporary(layout.staging_folder(self.plan)) as temporary:
            digest, num_bytes = hashlib.sha256(), 0
            for block in _blocks(source):
                digest.update(block)
                temporary.file.write(block)
                num_bytes += len(block)
            self._commit_content(temporary, layout.blob_path(digest.hexdigest()), num_bytes)
            return digest.hexdigest()

    def put_shard(
        self,
        unit: str,
        rows: Iterable[Any] | pa.Table,
        dropped: Iterable[Dropped] = (),
        metadata: dict[str, str] | None = None,
        statistics: dict[str, float] | None = None,
        blobs: Iterable[str] = (),
    ) -> ShardInfo:
        """Finish one unit, durably. `LeaseLostError` where another run took over: then it is not finished.

        `metadata` goes into the shard's schema metadata, `statistics` into the manifest: neither may hold times or hosts.
        """
        if unit not in self.plan.units:
            raise UsageError(f"`unit` must be one of the plan's {len(self.plan.units)} units, but is {unit!r}.")
        self._check_early()
        table = shard_table(rows, self._schema, f"{self.plan.kind} unit {unit!r}")
        reports = _checked_reports(dropped, unit)
        tables = [(table, self._schema, metadata or {})]
        if reports:
            tables.append((shard_table(reports, schema_of(Dropped), unit), schema_of(Dropped), {}))
        with self._lost_lease_first():
            (shard, is_new), *of_dropped = self._files.each(lambda one: self._put_table(*one), tables)
            info = ShardInfo(
                unit=unit,
                sha256=shard.sha256,
                num_rows=table.num_rows,
                num_bytes=shard.num_bytes,
                dropped=dict(sorted(Counter(report.reason for report in reports).items())),
                dropped_sha256=of_dropped[0][0].sha256 if of_dropped else "",
                statistics={name: float(value) for name, value in sorted((statistics or {}).items())},
                blobs=sorted(set(blobs)),
            )
            kept_hashes = None if is_new else self._kept_hashes.get(shard.sha256)
            hashes = row_hashes(table, self._schema) if kept_hashes is None else kept_hashes
            record = unit_bytes(Unit(shard=info, hashes=hashes, token=self.token))
            path = layout.unit_path(self.plan, unit)
            with self._fence():
                self._require([info])
                if not self._files.swap(path, record, None) and (existing_unit := read_unit(self._files, path)):
                    return existing_unit.shard
        return info

    @cached_property
    def _kept_hashes(self) -> dict[str, pa.Table]:
        """Hashes of the newest shards at the time of the first call."""
        return read_newest(self._files, self._schema)

    def _put_table(self, table: pa.Table, schema: Schema, metadata: dict[str, str]) -> tuple[Written, bool]:
        """Write a table as a shard, and say whether the shard is new here."""
        with self._files.temporary(layout.staging_folder(self.plan)) as temporary:
            written = write_shard(temporary.file, table, schema, metadata)
            path = layout.shard_path(schema.kind, written.sha256)
            return written, self._commit_content(temporary, path, written.num_bytes)

    def _commit_content(self, temporary: Temporary, path: str, num_bytes: int) -> bool:
        is_new = temporary.commit_content(path, num_bytes)
        # On a disk `collect` may take it before the fence is closed; in an object store not while the lease lives.
        if not self._files.fences:
            self._put.add(path)
        return is_new

    def _require(self, shards: list[ShardInfo]) -> None:
        """What a record names is there; on a disk `collect` cannot run while the fence is held."""
        units = {path: shard.unit for shard in shards for path in self._named(shard) if path not in self._put}
        for path in self._files.missing(list(units)):
            raise StoreError(
                f"{self._files.root}/{path}: unit {units[path]!r} names it, but it is not there; put it first."
            )

    def _named(self, shard: ShardInfo) -> list[str]:
        paths = [layout.shard_path(self.plan.kind, shard.sha256), *map(layout.blob_path, shard.blobs)]
        return [*paths, layout.shard_path("dropped", shard.dropped_sha256)] if shard.dropped_sha256 else paths

    def _check_early(self) -> None:
        """Check the lease before work that checks it again at its end. In an object store, where a check costs a request, this is done now
        and then."""
        if self._files.fences or time.monotonic() - self._checked_at > _CHECK_S:
            self._check()

    def _check(self) -> None:
        lease.check(self._files, self.plan.kind, self.plan.plan_id, self.token)
        self._checked_at = time.monotonic()

    @contextmanager
    def _fence(self, *, exclusive: bool = False) -> Iterator[None]:
        with lease.fence(self._files, self.plan.kind, self.plan.plan_id, self.token, exclusive=exclusive):
            self._checked_at = time.monotonic()
            yield

    @contextmanager
    def _lost_lease_first(self) -> Iterator[None]:
        """A run that took over clears what this one is writing: then the lost lease is the error to tell."""
        try:
            yield
        except UniaudioError:
            self._check()
            raise


def _checked_reports(dropped: Iterable[Dropped], unit: str) -> list[Dropped]:
    reports = [replace(report, unit=unit) for report in dropped]
    for report in reports:
        if not _REASON.fullmatch(report.reason):
            raise UsageError(f"`reason` must be a snake_case word, but is {report.reason!r} (row {report.row_id!r}).")
    return reports


def _blocks(source: bytes | str | Path | IO[bytes]) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    if not isinstance(source, str | Path):
        yield from iter(lambda: source.read(_BLOCK_BYTES), b"")
        return
    path = Path(source)
    try:
        with path.open("rb") as file:
            yield from iter(lambda: file.read(_BLOCK_BYTES), b"")
    except FileNotFoundError as error:
        raise UsageError(f"`source` must be bytes or a file, but {path} is not there.") from error
