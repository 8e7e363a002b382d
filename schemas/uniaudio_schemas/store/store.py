"""The dataset store: immutable versions of every kind, content-addressed shards, atomic publication. START HERE for layer 0.

    <root>/<kind>/shards/<sha256>.arrow           rows sorted by id, record batches of 1024, uncompressed Arrow IPC
    <root>/<kind>/versions/<plan id>.json         manifests
    <root>/<kind>/refs/<ref>.json                 pointers to versions, `latest` among them
    <root>/<kind>/staging/<plan id>/<unit>.arrow  finished units of a version that is not published yet
    <root>/<kind>/hashes/<sha256>.arrow           hashes of the rows of some shards (`kept_hashes`)
    <root>/<kind>/leases/<plan id>.json           who works on it, and the fencing token
    <root>/blobs/<2 digits>/<sha256>              files that rows name: tars, weights, pictures
    <root>/runs/<start>-<id>.json                 what jobs cost (`runs`)
    <root>/forgotten/<id>.json                    what no version may hold again (`forgotten`)

    store = Store("data/store")
    with store.writer(plan, owner="me") as writer:
        for unit in sorted(set(plan.units) - writer.done()):
            writer.put_shard(unit, rows)
        manifest = writer.publish()
    table = store.read(store.head("tokens"))

Kill a run anywhere: `store` reads as before or as after, and the next run writes the manifest that an undisturbed one writes.
"""

import heapq
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from uniaudio_schemas.errors import DataError, StoreError, UsageError
from uniaudio_schemas.kinds import ROWS, migrations
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.record import rows as table_rows
from uniaudio_schemas.kinds.record import schema_of
from uniaudio_schemas.names import check_hash, check_name
from uniaudio_schemas.plain import json_object
from uniaudio_schemas.store import layout, versions
from uniaudio_schemas.store.disk import LocalFiles
from uniaudio_schemas.store.files import Files
from uniaudio_schemas.store.lease import LEASE_S, STORE_LOCK
from uniaudio_schemas.store.manifest import Manifest, Plan, ShardInfo
from uniaudio_schemas.store.shard_writer import ShardWriter
from uniaudio_schemas.store.shards import read_shard, version_of
from uniaudio_schemas.store.writer import Writer, ref_bytes

__all__ = ["KINDS", "Dropped", "ShardWriter", "Store", "Writer"]

KINDS = tuple(schema_of(row_class).kind for row_class in ROWS)
"""The kinds of the data flow, in its order, and `dropped`."""

Row = TypeVar("Row")
_ADDRESS_AS_PATH = re.compile(r"(s3|gs|az|file):/[^/]")
UnitFilter = str | Callable[[str], bool] | None
"""One unit, or a predicate on unit names."""


class Store:
    """Versions below one root. Cheap to make, safe to use from many processes; `Store(str(store.root))` is the same store."""

    def __init__(self, root: str | Path, *, cache: Path | None = None) -> None:
        text = str(root)
        scheme, separator, rest = text.partition("://")
        if not text:
            raise UsageError("`root` must be a folder or an address, but is empty.")
        if _ADDRESS_AS_PATH.match(text):
            raise UsageError(
                f"`root` must be an address as a string, but is the path {text}: `Path` made one slash of two."
            )
        if not separator or scheme == "file":
            self.files: Files = LocalFiles(Path(rest if separator else text))
        else:
            from uniaudio_schemas.store.objects import ObjectFiles

            self.files = ObjectFiles(text, cache)
        self.root = self.files.root

    @classmethod
    def from_uri(cls, uri: str) -> "Store":
        """Store at a path, a `file://` address, or an address of an object store, such as `s3://bucket/prefix`."""
        return cls(uri)

    def version(self, kind: str, plan_id: str) -> Manifest | None:
        """The published version of a plan."""
        return versions.version(self.files, kind, plan_id)

    def versions(self, kind: str) -> list[Manifest]:
        """All published versions, by plan id."""
        return versions.versions(self.files, migrations.newest(kind).kind)

    def plan_ids(self, kind: str) -> list[str]:
        """The plan ids of all published versions."""
        return versions.plan_ids(self.files, migrations.newest(kind).kind)

    def version_with(self, kind: str, content_id: str) -> Manifest:
        """A published version with these contents, as others name their parents: a ref may point elsewhere by now."""
        manifest = versions.with_content(self.files, migrations.newest(kind).kind, (content_id,))
        if manifest is None:
            raise StoreError(f"{self.root}: has no version of `{kind}` with the content {content_id} any more.")
        return manifest

    def head(self, kind: str, ref: str = "latest") -> Manifest | None:
        """The version behind a ref."""
        path = layout.ref_path(kind, ref)
        where = f"{self.root}/{path}"
        pointer = self.files.load(path, lambda seen: json_object(seen.data, where))
        if pointer is None:
            return None
        plan_id = pointer.get("plan_id")
        manifest = self.version(kind, plan_id) if isinstance(plan_id, str) else None
        if manifest is None:
            raise DataError(f"{where}: points to version {plan_id!r}, which is not there.")
        return manifest

    def refs(self, kind: str) -> dict[str, Manifest]:
        """Ref -> version."""
        prefix = f"{migrations.newest(kind).kind}/refs/"
        names = [entry.path.removeprefix(prefix) for entry in self.files.entries(prefix.rstrip("/"))]
        refs = [name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith(".")]
        heads = zip(refs, self.files.each(lambda ref: self.head(kind, ref), refs), strict=True)
        return {ref: manifest for ref, manifest in heads if manifest is not None}

    def point(self, kind: str, ref: str, manifest: Manifest) -> None:
        """Swap a ref to a published version, atomically."""
        if manifest.kind != kind:
            raise UsageError(f"`manifest` must be of {kind}, but is of {manifest.kind}.")
        # Held off: `collect`, which could take an unreferenced version for garbage.
        with self.files.lock(STORE_LOCK, exclusive=False):
            if self.version(kind, manifest.plan_id) is None:
                raise StoreError(f"{kind} {manifest.plan_id[:8]} is not published here, so `{ref}` cannot point to it.")
            self.write_ref(manifest, ref)

    def unpoint(self, kind: str, ref: str) -> None:
        """Take a ref away; what it pointed to stays until `collect` finds that nothing needs it."""
        with self.files.lock(STORE_LOCK, exclusive=False):
            self.files.delete(layout.ref_path(kind, ref))

    def write_ref(self, manifest: Manifest, ref: str) -> None:
        """Write a ref as the holder of the store's lock; others call `point`."""
        self.files.write(layout.ref_path(manifest.kind, ref), ref_bytes(manifest))

    def writer(self, plan: Plan, owner: str, ref: str = "latest", lease_s: float = LEASE_S) -> Writer:
        """A context manager that holds the plan's lease. `StoreError` where another owner is alive and at work."""
        return Writer(self, plan, owner, check_name(ref, "ref"), lease_s)

    def shard_writer(self, plan: Plan, token: int) -> ShardWriter:
        """What a worker process puts shards with, under its driver's `writer.token`."""
        return ShardWriter(self, plan, token)

    def tables(
        self, manifest: Manifest, columns: list[str] | None = None, filter_unit: UnitFilter = None
    ) -> Iterator[pa.Table]:
        """The shards one by one: memory-mapped, at the newest schema version, with their metadata. From an object store the next
        ones are fetched meanwhile."""
        shards = [shard for shard in manifest.shards if _is_wanted(shard.unit, filter_unit)]
        for path in self.files.each(lambda shard: self.shard_path(manifest, shard), shards):
            table = self._migrated(path, manifest.kind)
            yield table if columns is None else table.select(columns)

    def read(self, manifest: Manifest, columns: list[str] | None = None, filter_unit: UnitFilter = None) -> pa.Table:
        """One table over the shards in unit order, rows of each sorted by id; nothing is copied.

        Metadata that differ between shards are left out; `shard_metadata` has them.
        """
        tables = list(self.tables(manifest, columns, filter_unit))
        if not tables:
            empty = migrations.newest(manifest.kind).arrow.empty_table()
            return empty if columns is None else empty.select(columns)
        shared = set.intersection(*(set((table.schema.metadata or {}).items()) for table in tables))
        joined: pa.Table = pa.concat_tables([table.replace_schema_metadata(dict(sorted(shared))) for table in tables])
        return joined

    def batches(self, manifest: Manifest, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches of 1024 rows, shard by shard."""
        for table in self.tables(manifest, columns):
            yield from table.to_batches()

    def rows(self, manifest: Manifest, cls: type[Row]) -> Iterator[Row]:
        """All rows in id order, whatever the shards look like; one record batch of each shard is in memory."""
        id_field = schema_of(cls).id_field
        return heapq.merge(
            *(table_rows(table, cls) for table in self.tables(manifest)), key=lambda row: getattr(row, id_field)
        )

    def dropped(self, manifest: Manifest) -> pa.Table:
        """The rows that were dropped while the version was made, with reasons."""
        schema = schema_of(Dropped)
        # Not `empty_table`, which loads pandas.
        tables = [pa.Table.from_batches([], schema=schema.arrow)]
        for shard in manifest.dropped_shards:
            tables.append(
                self._migrated(self.dropped_path(shard), schema.kind).replace_schema_metadata(schema.arrow.metadata)
            )
        all_drops: pa.Table = pa.concat_tables(tables)
        return all_drops

    def shard_path(self, manifest: Manifest, shard: ShardInfo) -> Path:
        """A local file: the shard itself, or its copy in the cache."""
        return self.files.local_path(layout.shard_path(manifest.kind, shard.sha256), shard.num_bytes, shard.sha256)

    def dropped_path(self, shard: ShardInfo) -> Path:
        """A local file with the rows that the shard's unit dropped."""
        path = layout.shard_path(schema_of(Dropped).kind, shard.dropped_sha256)
        return self.files.local_path(path, None, shard.dropped_sha256)

    def table_of_shard(self, manifest: Manifest, shard: ShardInfo) -> pa.Table:
        """One shard at the newest schema version, with its metadata; memory-mapped."""
        return self._migrated(self.shard_path(manifest, shard), manifest.kind)

    def shard_metadata(self, manifest: Manifest, shard: ShardInfo) -> dict[str, str]:
        """What the shard's writer said of it, such as `codec_fingerprint`."""
        metadata = read_shard(self.shard_path(manifest, shard)).schema.metadata or {}
        return {key.decode(): value.decode() for key, value in metadata.items()}

    def open_blob(self, sha256: str) -> Path:
        """A local file with the blob's bytes."""
        return self.files.local_path(layout.blob_path(check_hash(sha256, 64, "sha256")), None, sha256)

    def collect(self, dry_run: bool = True) -> list[str]:
        """Addresses of what no ref needs any more; removed unless `dry_run`."""
        from uniaudio_schemas.store.collect import collect

        return collect(self, dry_run=dry_run)

    def verify(self, manifest: Manifest) -> None:
        """Read every byte of a version again; one that changed is a `DataError` that names its file."""
        from uniaudio_schemas.store.verify import verify

        verify(self, manifest)

    def _migrated(self, path: Path, kind: str) -> pa.Table:
        table = read_shard(path)
        return migrations.migrate(table, kind, version_of(table, kind, path), str(path))


def _is_wanted(unit: str, filter_unit: UnitFilter) -> bool:
    if filter_unit is None:
        return True
    return unit == filter_unit if isinstance(filter_unit, str) else filter_unit(unit)


def row_class(kind: str) -> type[Any]:
    """The newest row class of a kind."""
    return migrations.newest(kind).row_class
