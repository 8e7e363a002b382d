"""Writing a version: `ShardWriter` puts blobs and shards (any process), `Writer` holds the lease and publishes (the driver).

A unit counts as finished once its record (`units`) is there. It is written last, under the fence, after the shard that it names. So
a kill at any moment leaves a unit finished or not begun, and what was written under content names beside it is harmless.
"""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from uniaudio_schemas.errors import LeaseLostError, StoreError, UniaudioError, UsageError
from uniaudio_schemas.fingerprint import canonical_json
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.migrations import schema_at
from uniaudio_schemas.kinds.record import Schema, schema_of
from uniaudio_schemas.store import layout, lease
from uniaudio_schemas.store.content import content_id, row_hashes
from uniaudio_schemas.store.files import Temporary
from uniaudio_schemas.store.manifest import Manifest, Plan, ShardInfo
from uniaudio_schemas.store.shards import Written, read_shard, shard_table, version_of, write_shard
from uniaudio_schemas.store.units import SUFFIX, read_unit, unit_bytes

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
        self._checked_at = -_CHECK_S

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
            shard, *of_dropped = self._files.each(lambda one: self._put_table(*one), tables)
            info = ShardInfo(
                unit=unit,
                sha256=shard.sha256,
                num_rows=table.num_rows,
                num_bytes=shard.num_bytes,
                dropped=dict(sorted(Counter(report.reason for report in reports).items())),
                dropped_sha256=of_dropped[0].sha256 if of_dropped else "",
                statistics={name: float(value) for name, value in sorted((statistics or {}).items())},
                blobs=sorted(set(blobs)),
            )
            record = unit_bytes(info, row_hashes(table, self._schema))
            path = layout.unit_path(self.plan, unit)
            with self._fence():
                self._require([info])
                if not self._files.swap(path, record, None) and (found := read_unit(self._files, path)):
                    return found[0]
        return info

    def _put_table(self, table: pa.Table, schema: Schema, metadata: dict[str, str]) -> Written:
        with self._files.temporary(layout.staging_folder(self.plan)) as temporary:
            written = write_shard(temporary.file, table, schema, metadata)
            self._commit_content(temporary, layout.shard_path(schema.kind, written.sha256), written.num_bytes)
            return written

    def _commit_content(self, temporary: Temporary, path: str, num_bytes: int) -> None:
        temporary.commit_content(path, num_bytes)
        # On a disk `collect` may take it before the fence is closed; in an object store not while the lease lives.
        if not self._files.fences:
            self._put.add(path)

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
        """Before work whose end checks again: in an object store, where that costs a request, now and then."""
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


class Writer(ShardWriter):
    """The driver's: a context manager that takes the lease and lets go of it. What is finished stays finished."""

    def __init__(self, store: "Store", plan: Plan, owner: str, ref: str, lease_s: float) -> None:
        super().__init__(store, plan, token=0)
        self.owner, self._ref, self._lease_s = owner, ref, lease_s
        self._heart_beat: lease.HeartBeat | None = None

    def __enter__(self) -> "Writer":
        held = lease.acquire(self._files, self.plan.kind, self.plan.plan_id, self.owner, self._lease_s)
        self.token = held.token
        self._heart_beat = lease.HeartBeat(self._files, self.plan.kind, self.plan.plan_id, held, self._lease_s)
        try:
            # A `collect` that began before it could see this lease must end first.
            self._files.epoch(lease.STORE_LOCK)
        except UniaudioError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._heart_beat is not None:
            self._heart_beat.stop()
        try:
            lease.release(self._files, self.plan.kind, self.plan.plan_id, self.token)
        except StoreError as failure:
            # The lease runs out by itself; the error that ended the block is the one to tell.
            lease.log.warning("lease of %s %s not released: %s", self.plan.kind, self.plan.plan_id[:8], failure)

    def done(self) -> set[str]:
        """Units that are finished, by this run or an earlier one."""
        if self.store.version(self.plan.kind, self.plan.plan_id) is not None:
            return set(self.plan.units)
        folder = layout.staging_folder(self.plan)
        names = {entry.path.removeprefix(f"{folder}/") for entry in self._files.entries(folder)}
        return {unit for unit in self.plan.units if unit + SUFFIX in names}

    def publish(self) -> Manifest:
        """Write the manifest, then point the ref at it. `StoreError` where a unit is missing; one that was published stays."""
        self._check()
        with self._lost_lease_first():
            while (manifest := self._committed()) is None:
                pass
        # One that lost the lease meanwhile must not clear what another stages by now.
        with suppress(LeaseLostError):
            self._check()
            self._clear_staging()
        return manifest

    def _committed(self) -> Manifest | None:
        """None where it must be tried again: the ref was swapped, or `collect` ran, which in an object store nothing keeps out."""
        manifest = self._published_or_made()
        version = layout.version_path(manifest.kind, manifest.plan_id)
        ref = layout.ref_path(manifest.kind, self._ref)
        epoch = self._files.epoch(lease.STORE_LOCK)
        pointed = None if self._files.fences else self._files.read_seen(ref)
        with self._fence(exclusive=True):
            self._require_published(manifest)
            is_new = self._files.swap(version, manifest.to_json().encode(), None)
            try:
                # Only where `collect` has not begun since: it takes what a version names that it did not see.
                if self._files.epoch(lease.STORE_LOCK) != epoch:
                    self._require_published(manifest)
                    return None
            except StoreError:
                if is_new:
                    self._files.delete(version)
                raise
            if self._files.fences:
                self.store.write_ref(manifest, self._ref)
                return manifest
            self._check()
            return manifest if self._files.swap(ref, ref_bytes(manifest), pointed) else None

    def _require_published(self, manifest: Manifest) -> None:
        """All that the version names is there. A unit whose shard is gone is unfinished again."""
        paths = {path: shard for shard in manifest.shards for path in self._named(shard)}
        missing = self._files.missing(list(paths))
        if missing:
            self._files.delete_all({layout.unit_path(self.plan, paths[path].unit): None for path in missing})
            raise StoreError(
                f"{self._files.root}/{missing[0]}: unit {paths[missing[0]].unit!r} names it, but it is gone, and so are "
                f"{len(missing) - 1} others. Run again: it makes what is missing."
            )

    def _published_or_made(self) -> Manifest:
        found = self.store.version(self.plan.kind, self.plan.plan_id)
        if found is not None:
            return found
        try:
            return self._manifest()
        except UniaudioError:
            # Another may have published and cleared the units while they were read.
            if published := self.store.version(self.plan.kind, self.plan.plan_id):
                return published
            raise

    def _manifest(self) -> Manifest:
        missing = sorted(set(self.plan.units) - self.done())
        if missing:
            raise StoreError(
                f"{self.plan.kind} {self.plan.plan_id[:8]} cannot be published: {len(missing)} of {len(self.plan.units)} "
                f"units are not finished, such as {missing[0]!r}."
            )
        units = [layout.unit_path(self.plan, unit) for unit in self.plan.units]
        read = list(self._files.each(self._finished, units))
        made = [shard for shard, _ in read]
        hashes = [table for _, table in read] + list(self._files.each(self._computed_hashes, self.plan.reused))
        values = {
            name: getattr(self.plan, name) for name in ("kind", "plan_id", "parameters", "code_version", "numerics")
        }
        return Manifest(
            **values,
            schema_version=self.plan.schema_version,
            parents=dict(sorted(self.plan.parents.items())),
            content_id=content_id(hashes, self._schema),
            shards=sorted([*made, *self.plan.reused], key=lambda shard: (shard.unit, shard.sha256)),
        )

    def _finished(self, path: str) -> tuple[ShardInfo, pa.Table]:
        found = read_unit(self._files, path)
        if found is None:
            raise StoreError(f"{self._files.root}/{path}: was there and is gone.")
        return found

    def _computed_hashes(self, shard: ShardInfo) -> pa.Table:
        path = self._files.local_path(layout.shard_path(self.plan.kind, shard.sha256), shard.num_bytes, shard.sha256)
        table = read_shard(path)
        if version_of(table, self.plan.kind, path) != self.plan.schema_version:
            raise UsageError(
                f"`reused` must be shards of {self.plan.kind} v{self.plan.schema_version}, but {path} is not."
            )
        return row_hashes(table, self._schema)

    def _clear_staging(self) -> None:
        folder = layout.staging_folder(self.plan)
        self._files.delete_all(entry.path for entry in self._files.entries(folder))
        self._files.delete(folder)


def ref_bytes(manifest: Manifest) -> bytes:
    """What a ref that points to the version holds."""
    return (canonical_json({"content_id": manifest.content_id, "plan_id": manifest.plan_id}) + "\n").encode()


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
