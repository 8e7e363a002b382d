"""Writing a version: `ShardWriter` puts blobs and shards (any process), `Writer` holds the lease and publishes (the driver).

A unit counts as finished once its record `<kind>/staging/<plan id>/<unit>.json` is there. It is written last, under the fence,
after the shard that it names. So a kill at any moment leaves a unit finished or not begun, and what was written under content
names beside it is harmless.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from uniaudio_schemas.errors import DataError, StoreError, UniaudioError, UsageError
from uniaudio_schemas.fingerprint import canonical_json
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.migrations import schema_at
from uniaudio_schemas.kinds.record import Schema, schema_of
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.store import layout, lease
from uniaudio_schemas.store.content import HASHES, content_id, row_hashes
from uniaudio_schemas.store.manifest import Manifest, Plan, ShardInfo
from uniaudio_schemas.store.shards import Written, read_shard, shard_table, version_of, write_shard

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

_REASON = re.compile(r"[a-z][a-z0-9_]*")
_BLOCK_BYTES = 1 << 20


class ShardWriter:
    """Puts blobs and shards of one plan under a fencing token; cheap to make in any worker process."""

    def __init__(self, store: "Store", plan: Plan, token: int) -> None:
        self.store, self.plan, self.token = store, plan, token
        self._files = store.files
        self._schema = schema_at(plan.kind, plan.schema_version)

    def put_blob(self, source: bytes | str | Path | IO[bytes]) -> str:
        """Bytes, an open file from where it stands, or the file at a path, under their sha256, which is returned. What is there
        already is not written again."""
        self._check()
        with self._lost_lease_first(), self._files.temporary(layout.staging_folder(self.plan)) as temporary:
            digest, num_bytes = hashlib.sha256(), 0
            for block in _blocks(source):
                digest.update(block)
                temporary.file.write(block)
                num_bytes += len(block)
            path = layout.blob_path(digest.hexdigest())
            if self._files.num_bytes(path) != num_bytes:
                temporary.commit(path)
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
        self._check()
        table = shard_table(rows, self._schema, f"{self.plan.kind} unit {unit!r}")
        reports = _checked_reports(dropped, unit)
        with self._lost_lease_first():
            shard = self._put_table(table, self._schema, metadata or {})
            dropped_sha256 = (
                self._put_table(shard_table(reports, schema_of(Dropped), unit), schema_of(Dropped), {}).sha256
                if reports
                else ""
            )
            info = ShardInfo(
                unit=unit,
                sha256=shard.sha256,
                num_rows=table.num_rows,
                num_bytes=shard.num_bytes,
                dropped=dict(sorted(Counter(report.reason for report in reports).items())),
                dropped_sha256=dropped_sha256,
                statistics={name: float(value) for name, value in sorted((statistics or {}).items())},
                blobs=sorted(set(blobs)),
            )
            record = (canonical_json(asdict(info)) + "\n").encode()
            self._files.write(layout.hashes_path(self.plan, unit), _to_bytes(row_hashes(table, self._schema)))
            with self._fence():
                self._require(info)
                self._files.write(layout.unit_path(self.plan, unit), record)
        return info

    def _put_table(self, table: pa.Table, schema: Schema, metadata: dict[str, str]) -> Written:
        with self._files.temporary(layout.staging_folder(self.plan)) as temporary:
            written = write_shard(temporary.file, table, schema, metadata)
            path = layout.shard_path(schema.kind, written.sha256)
            if self._files.num_bytes(path) != written.num_bytes:
                temporary.commit(path)
            return written

    def _require(self, info: ShardInfo) -> None:
        """What a record names is there; `collect` cannot run while the fence is held."""
        paths = [layout.shard_path(self.plan.kind, info.sha256), *map(layout.blob_path, info.blobs)]
        if info.dropped_sha256:
            paths.append(layout.shard_path("dropped", info.dropped_sha256))
        for path in paths:
            if self._files.num_bytes(path) is None:
                raise StoreError(
                    f"{self._files.root}/{path}: unit {info.unit!r} names it, but it is not there; put it first."
                )

    def _check(self) -> None:
        lease.check(self._files, self.plan.kind, self.plan.plan_id, self.token)

    @contextmanager
    def _fence(self, *, exclusive: bool = False) -> Iterator[None]:
        with lease.fence(self._files, self.plan.kind, self.plan.plan_id, self.token, exclusive=exclusive):
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
        return {unit for unit in self.plan.units if f"{unit}.json" in names}

    def publish(self) -> Manifest:
        """Write the manifest, then point the ref at it. `StoreError` where a unit is missing; one that was published stays."""
        self._check()
        with self._lost_lease_first():
            manifest = self.store.version(self.plan.kind, self.plan.plan_id) or self._manifest()
        with self._fence(exclusive=True):
            for shard in manifest.shards:
                self._require(shard)
            self._files.write(layout.version_path(manifest.kind, manifest.plan_id), manifest.to_json().encode())
            self.store.write_ref(manifest, self._ref)
        self._clear_staging()
        return manifest

    def _manifest(self) -> Manifest:
        missing = sorted(set(self.plan.units) - self.done())
        if missing:
            raise StoreError(
                f"{self.plan.kind} {self.plan.plan_id[:8]} cannot be published: {len(missing)} of {len(self.plan.units)} "
                f"units are not finished, such as {missing[0]!r}."
            )
        made = [self._record(unit) for unit in self.plan.units]
        hashes = [self._hashes(shard) for shard in made] + [self._computed_hashes(shard) for shard in self.plan.reused]
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

    def _record(self, unit: str) -> ShardInfo:
        path = layout.unit_path(self.plan, unit)
        return from_json(ShardInfo, self._files.read(path) or b"", f"{self._files.root}/{path}")

    def _hashes(self, shard: ShardInfo) -> pa.Table:
        data = self._files.read(layout.hashes_path(self.plan, shard.unit))
        if data is None:
            return self._computed_hashes(shard)
        table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
        if table.schema != HASHES or len(table) != shard.num_rows:
            raise DataError(
                f"{self._files.root}/{layout.hashes_path(self.plan, shard.unit)}: not the hashes of {shard.num_rows} rows."
            )
        return table

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
        for entry in self._files.entries(folder):
            self._files.delete(entry.path)
        self._files.delete(folder)


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


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data
