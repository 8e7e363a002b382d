"""The dataset store: immutable versions of every kind, content-addressed shards, atomic publication. START HERE for layer 0.

    <root>/<kind>/shards/<sha256>.arrow        rows sorted by id, record batches of 1,024, uncompressed Arrow IPC
    <root>/<kind>/versions/<plan_id>.json      manifests
    <root>/<kind>/refs/<ref>.json              pointers to versions, `latest` among them
    <root>/<kind>/staging/<plan_id>/<unit>.json   finished shards of a version that is not published yet
    <root>/<kind>/leases/<plan_id>.json        who works on it
    <root>/blobs/<2 digits>/<sha256>           files that rows name: tars, weights, pictures
    <root>/runs/…                              what jobs cost (`runs`)

    store = Store("data/store")
    with store.writer(plan, owner="me") as writer:
        for unit in sorted(set(plan.units) - writer.done()):
            writer.put_shard(unit, rows)
        manifest = writer.publish()
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa

from uniaudio_schemas import migrations
from uniaudio_schemas.dropped import Dropped, dropped_rows
from uniaudio_schemas.errors import DataError, StoreError, UsageError
from uniaudio_schemas.files import LocalFiles
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.lease import LEASE_S, Lease, check_token
from uniaudio_schemas.manifest import Manifest, Plan, ShardInfo, content_id, manifest_from_json
from uniaudio_schemas.names import check_name
from uniaudio_schemas.record import SCHEMAS, rows, to_table

__all__ = ["Dropped", "ShardWriter", "Store", "Writer"]

KINDS = ("raw", "annotated", "instructions", "codec", "tokens", "sequences", "checkpoint", "scores", "dropped")
BATCH_ROWS = 1024
_COPY_BYTES = 1 << 20

Row = TypeVar("Row")


class Store:
    """Versions below one root. Cheap to make; picklable; safe to use from many processes."""

    def __init__(self, root: str | Path) -> None:
        text = str(root)
        if "://" in text and not text.startswith("file://"):
            raise UsageError(f"`store` must be a folder that all machines see, but is {text}: object stores are not supported yet.")
        self.root = Path(text.removeprefix("file://")).absolute()
        self.files = LocalFiles(self.root)

    @classmethod
    def from_uri(cls, uri: str) -> "Store":
        """From a path or a `file://` address."""
        return cls(uri)

    def version(self, kind: str, plan_id: str) -> Manifest | None:
        """The published version of a plan, or None."""
        path = f"{_kind(kind)}/versions/{check_name('plan_id', plan_id)}.json"
        text = self.files.read_text(path)
        return None if text is None else manifest_from_json(text, str(self.files.path(path)))

    def versions(self, kind: str) -> list[Manifest]:
        """All published versions of a kind, by plan id."""
        found = (self.version(kind, name.removesuffix(".json")) for name in self.files.list(f"{_kind(kind)}/versions", ".json"))
        return [manifest for manifest in found if manifest is not None]

    def head(self, kind: str, ref: str = "latest") -> Manifest | None:
        """The version that a ref points to, or None."""
        text = self.files.read_text(f"{_kind(kind)}/refs/{check_name('ref', ref)}.json")
        return None if text is None else self.version(kind, json.loads(text)["plan_id"])

    def refs(self, kind: str) -> dict[str, Manifest]:
        """Ref -> version."""
        names = [name.removesuffix(".json") for name in self.files.list(f"{_kind(kind)}/refs", ".json")]
        heads = {name: self.head(kind, name) for name in names}
        return {name: manifest for name, manifest in heads.items() if manifest is not None}

    def point(self, kind: str, ref: str, manifest: Manifest) -> None:
        """Swap a ref to a version, atomically."""
        text = json.dumps({"plan_id": manifest.plan_id, "content_id": manifest.content_id}, sort_keys=True)
        self.files.write_bytes(f"{_kind(kind)}/refs/{check_name('ref', ref)}.json", text.encode())

    @contextmanager
    def writer(self, plan: Plan, owner: str, ref: str = "latest", lease_s: float = LEASE_S) -> Iterator["Writer"]:
        """Hold the lease of `plan` and write its shards. StoreError where another run is at it."""
        check_name("ref", ref)
        lease = Lease(self.files, _lease_path(plan), owner, lease_s)
        lease.acquire()
        try:
            yield Writer(self, plan, lease.token, ref)
        finally:
            lease.release()

    def shard_writer(self, plan: Plan, token: int) -> "ShardWriter":
        """What a worker process puts shards with, under its driver's lease."""
        return ShardWriter(self, plan, token)

    def tables(self, manifest: Manifest, columns: list[str] | None = None, unit: str | None = None) -> Iterator[pa.Table]:
        """The version's shards one by one, memory-mapped, migrated to the newest schema version."""
        for shard in manifest.shards:
            if unit is None or shard.unit == unit:
                table = self.shard_table(manifest.kind, shard)
                table = migrations.migrate(table, manifest.kind, _version_of(table, manifest.schema_version))
                yield table if columns is None else table.select(columns)

    def read(self, manifest: Manifest, columns: list[str] | None = None, unit: str | None = None) -> pa.Table:
        """All of a version as one table; nothing is copied."""
        found = list(self.tables(manifest, columns, unit))
        if not found:
            newest = SCHEMAS[(manifest.kind, migrations.newest_version(manifest.kind))].arrow
            empty = newest.empty_table()
            return empty if columns is None else empty.select(columns)
        return pa.concat_tables([table.replace_schema_metadata(None) for table in found])

    def rows(self, manifest: Manifest, cls: type[Row]) -> Iterator[Row]:
        """The rows of a version as instances of `cls`, shard by shard."""
        for table in self.tables(manifest):
            yield from rows(table, cls)

    def dropped(self, manifest: Manifest) -> pa.Table:
        """The rows that were dropped while the version was made."""
        digests = [shard.dropped_sha256 for shard in manifest.shards if shard.dropped_sha256]
        tables = [self._open("dropped", digest).replace_schema_metadata(None) for digest in digests]
        return pa.concat_tables(tables) if tables else SCHEMAS[("dropped", 1)].arrow.empty_table()

    def shard_path(self, kind: str, shard: ShardInfo) -> Path:
        return self.files.path(_shard_path(kind, shard.sha256))

    def shard_table(self, kind: str, shard: ShardInfo) -> pa.Table:
        """One shard as it was written, memory-mapped, schema metadata included."""
        return self._open(kind, shard.sha256)

    def shard_metadata(self, kind: str, shard: ShardInfo) -> dict[str, str]:
        """The schema metadata of a shard: fingerprints, numerics."""
        metadata = self._open(kind, shard.sha256).schema.metadata or {}
        return {key.decode(): value.decode() for key, value in metadata.items()}

    def open_blob(self, sha256: str) -> Path:
        """The local path of a blob. DataError where there is none."""
        path = self.files.path(_blob_path(sha256))
        if not path.exists():
            raise DataError(f"{path}: this blob is not in the store.")
        return path

    def collect(self, *, dry_run: bool = True) -> list[Path]:
        """Files that no ref, and no ancestor of a version behind a ref, needs; removes them unless `dry_run`."""
        from uniaudio_schemas.collect import collect

        return collect(self, dry_run=dry_run)

    def _open(self, kind: str, sha256: str) -> pa.Table:
        path = self.files.path(_shard_path(kind, sha256))
        try:
            with pa.memory_map(str(path)) as source:
                return pa.ipc.open_file(source).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{path}: not a readable shard ({error}).") from error


class ShardWriter:
    """Puts blobs and shards under a driver's lease; every put checks the fencing token."""

    def __init__(self, store: Store, plan: Plan, token: int) -> None:
        self.store, self.plan, self.token = store, plan, token
        self._files = store.files

    def put_blob(self, source: bytes | str | Path) -> str:
        """Store bytes, or the file at a path; returns the sha256. A blob that is there is not written again."""
        self._check()
        digest = _digest(source)
        path = _blob_path(digest)
        if not self._files.exists(path):
            self._files.write(path, lambda file: _copy(source, file))
        return digest

    def put_shard(
        self,
        unit: str,
        rows: Iterable[Any] | pa.Table,
        dropped: Iterable[Dropped] = (),
        metadata: dict[str, str] | None = None,
        statistics: dict[str, float] | None = None,
        blobs: Iterable[str] = (),
    ) -> ShardInfo:
        """Commit one unit: the shard, its dropped rows, then the record that it is done. LeaseLostError where another run took over."""
        if unit not in self.plan.units:
            raise UsageError(f"`unit` must be one of the plan's, but is {unit!r}.")
        self._check()
        cls = row_class(self.plan.kind)
        table = rows if isinstance(rows, pa.Table) else to_table(rows, cls)
        num_bytes, digest = self._put_table(self.plan.kind, table, metadata or {})
        reports = dropped_rows(list(dropped), unit)
        dropped_digest = self._put_table("dropped", to_table(reports, row_class("dropped")), {})[1] if reports else ""
        info = ShardInfo(
            unit=unit,
            sha256=digest,
            num_rows=table.num_rows,
            num_bytes=num_bytes,
            dropped=dict(sorted(Counter(report.reason for report in reports).items())),
            dropped_sha256=dropped_digest,
            statistics=dict(sorted((statistics or {}).items())),
            blobs=sorted(set(blobs)),
        )
        self._check()
        self._files.write_bytes(f"{_staging(self.plan)}/{unit}.json", json.dumps(asdict(info), sort_keys=True).encode())
        return info

    def _check(self) -> None:
        check_token(self._files, _lease_path(self.plan), self.token)

    def _put_table(self, kind: str, table: pa.Table, metadata: dict[str, str]) -> tuple[int, str]:
        base = {"kind": kind, "schema_version": str(self.plan.schema_version if kind != "dropped" else 1), **metadata}
        table = table.replace_schema_metadata(dict(sorted(base.items())))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as file:
            # Combined first: batch borders must not depend on how the table was put together.
            file.write_table(table.combine_chunks(), max_chunksize=BATCH_ROWS)
        data = sink.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        path = _shard_path(kind, digest)
        if not self._files.exists(path):
            self._files.write(path, lambda file: file.write(data) and None)
        return data.size, digest


class Writer(ShardWriter):
    """A driver's: also knows what is done, and publishes."""

    def __init__(self, store: Store, plan: Plan, token: int, ref: str) -> None:
        super().__init__(store, plan, token)
        self._ref = ref

    def done(self) -> set[str]:
        """Units whose shards are committed, by this run or an earlier one."""
        names = {name.removesuffix(".json") for name in self._files.list(_staging(self.plan), ".json")}
        return names & set(self.plan.units)

    def publish(self) -> Manifest:
        """Write the manifest and point the ref at it. StoreError where units are missing, LeaseLostError where another run took over."""
        missing = sorted(set(self.plan.units) - self.done())
        if missing:
            raise StoreError(f"{self.plan.kind} cannot be published: {len(missing)} units are missing, first {missing[0]}.")
        texts = {unit: self._files.read_text(f"{_staging(self.plan)}/{unit}.json") for unit in sorted(self.plan.units)}
        made = [ShardInfo(**json.loads(text)) for text in texts.values() if text is not None]
        shards = sorted([*self.plan.reused, *made], key=lambda shard: (shard.unit, shard.sha256))
        id_field = row_class(self.plan.kind).SCHEMA.id_field
        tables = (self.store.shard_table(self.plan.kind, shard).replace_schema_metadata(None) for shard in shards)
        manifest = Manifest(
            kind=self.plan.kind,
            schema_version=self.plan.schema_version,
            plan_id=self.plan.plan_id,
            content_id=content_id(tables, id_field),
            parents=dict(sorted(self.plan.parents.items())),
            parameters=self.plan.parameters,
            code_version=self.plan.code_version,
            numerics=self.plan.numerics,
            shards=shards,
        )
        self._check()
        self._files.write_bytes(f"{self.plan.kind}/versions/{manifest.plan_id}.json", manifest.to_json().encode())
        self.store.point(self.plan.kind, self._ref, manifest)
        self._files.remove_folder(_staging(self.plan))
        return manifest


def row_class(kind: str) -> Any:
    """The newest row class of a kind."""
    module = import_module(f"uniaudio_schemas.{_kind(kind)}")
    classes = [value for value in vars(module).values() if isinstance(value, type) and hasattr(value, "SCHEMA")]
    return max((cls for cls in classes if cls.SCHEMA.kind == kind), key=lambda cls: cls.SCHEMA.version)  # type: ignore[attr-defined]


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise UsageError(f"`kind` must be one of {', '.join(KINDS)}, but is {kind!r}.")
    return kind


def _version_of(table: pa.Table, default: int) -> int:
    return int((table.schema.metadata or {}).get(b"schema_version", default))


def _lease_path(plan: Plan) -> str:
    return f"{_kind(plan.kind)}/leases/{plan.plan_id}.json"


def _staging(plan: Plan) -> str:
    return f"{_kind(plan.kind)}/staging/{plan.plan_id}"


def _shard_path(kind: str, sha256: str) -> str:
    return f"{_kind(kind)}/shards/{check_name('shard', sha256)}.arrow"


def _blob_path(sha256: str) -> str:
    return f"blobs/{check_name('blob', sha256)[:2]}/{sha256}"


def _digest(source: bytes | str | Path) -> str:
    if isinstance(source, bytes):
        return hash_bytes(source)
    with Path(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: bytes | str | Path, target: BinaryIO) -> None:
    if isinstance(source, bytes):
        target.write(source)
        return
    with Path(source).open("rb") as file:
        while piece := file.read(_COPY_BYTES):
            target.write(piece)
