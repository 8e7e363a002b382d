"""Writing a version: the driver's `Writer` holds the lease and publishes; workers put shards (`shard_writer`).

Published is what a manifest says, and it is written after all that it names. How two drivers, `collect` and kills are kept apart, on a
disk by locks and in an object store by conditional writes: decision record 11.
"""

from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa

from uniaudio_schemas.errors import LeaseLostError, StoreError, UniaudioError, UsageError
from uniaudio_schemas.fingerprint import canonical_json
from uniaudio_schemas.store import layout, lease
from uniaudio_schemas.store.content import content_id, row_hashes
from uniaudio_schemas.store.kept_hashes import Hashes, HashesFile, read_hashes
from uniaudio_schemas.store.manifest import Manifest, Plan, ShardInfo
from uniaudio_schemas.store.shard_writer import ShardWriter
from uniaudio_schemas.store.shards import read_shard, version_of
from uniaudio_schemas.store.units import SUFFIX, Unit, read_unit

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store


class Writer(ShardWriter):
    """The driver's: a context manager that takes the lease and lets go of it. What is finished stays finished."""

    def __init__(self, store: "Store", plan: Plan, owner: str, ref: str, lease_s: float) -> None:
        super().__init__(store, plan, token=0)
        self.owner, self._ref, self._lease_s = owner, ref, lease_s
        self._heart_beat: lease.HeartBeat | None = None
        self._epoch, self._mine = 0, set[str]()

    def __enter__(self) -> "Writer":
        held = lease.acquire(self._files, self.plan.kind, self.plan.plan_id, self.owner, self._lease_s)
        self.token = held.token
        self._heart_beat = lease.HeartBeat(self._files, self.plan.kind, self.plan.plan_id, held, self._lease_s)
        try:
            # A `collect` that began before it could see this lease must end first.
            self._epoch = self._files.epoch(lease.STORE_LOCK)
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
        except UniaudioError as failure:
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
        """The published manifest. None where this must be tried again: the ref was swapped, or `collect` ran, which in an object store
        nothing keeps out."""
        manifest = self._published_or_made()
        version = layout.version_path(manifest.kind, manifest.plan_id)
        ref = layout.ref_path(manifest.kind, self._ref)
        epoch = self._files.epoch(lease.STORE_LOCK)
        pointed = None if self._files.fences else self._files.read_seen(ref)
        with self._fence(exclusive=True):
            self._require_published(manifest, epoch)
            is_new = self._files.swap(version, manifest.to_json().encode(), None)
            try:
                # Only where `collect` has not begun since: it takes what a version names that it did not see.
                now = self._files.epoch(lease.STORE_LOCK)
                if now != epoch:
                    self._require_published(manifest, now)
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

    def _require_published(self, manifest: Manifest, epoch: int) -> None:
        """All that the version names is there. A unit whose shard is gone is unfinished again.

        In an object store what was put under this lease is there unless somebody held the store's lock since."""
        shards = manifest.shards
        if not self._files.fences and epoch == self._epoch:
            shards = [shard for shard in manifest.shards if shard.unit not in self._mine]
        paths = {path: shard for shard in shards for path in self._named(shard)}
        missing_paths = self._files.missing(list(paths))
        if missing_paths:
            self._files.delete_all({layout.unit_path(self.plan, paths[path].unit): None for path in missing_paths})
            raise StoreError(
                f"{self._files.root}/{missing_paths[0]}: unit {paths[missing_paths[0]].unit!r} names it, but it is gone, and so are "
                f"{len(missing_paths) - 1} others. Run again: it makes what is missing."
            )

    def _published_or_made(self) -> Manifest:
        earlier = self.store.version(self.plan.kind, self.plan.plan_id)
        if earlier is not None:
            return earlier
        try:
            return self._manifest()
        except UniaudioError:
            # Another may have published and cleared the units while they were read.
            if published := self.store.version(self.plan.kind, self.plan.plan_id):
                return published
            raise

    def _manifest(self) -> Manifest:
        missing_units = sorted(set(self.plan.units) - self.done())
        if missing_units:
            raise StoreError(
                f"{self.plan.kind} {self.plan.plan_id[:8]} cannot be published: {len(missing_units)} of {len(self.plan.units)} "
                f"units are not finished, such as {missing_units[0]!r}."
            )
        with self._files.temporary(layout.staging_folder(self.plan)) as temporary:
            new = HashesFile(temporary.file, self._schema)
            shards = [*self._made(new), *self.plan.reused]
            hashes = self._hashes(new)
            new.keep(temporary)
            content = content_id((hashes[shard.sha256] for shard in shards), self._schema, between=hashes.let_go)
        values = {
            name: getattr(self.plan, name) for name in ("kind", "plan_id", "parameters", "code_version", "numerics")
        }
        return Manifest(
            **values,
            schema_version=self.plan.schema_version,
            parents=dict(sorted(self.plan.parents.items())),
            content_id=content,
            shards=sorted(shards, key=lambda shard: (shard.unit, shard.sha256)),
        )

    def _made(self, new: HashesFile) -> list[ShardInfo]:
        """Shards of the finished units, and the hashes of their rows into `new`."""
        self._mine, shards = set(), []
        for unit in self._files.each(self._finished, [layout.unit_path(self.plan, unit) for unit in self.plan.units]):
            new.add(unit.shard.sha256, unit.hashes)
            shards.append(unit.shard)
            if unit.token == self.token:
                self._mine.add(unit.shard.unit)
        return shards

    def _hashes(self, new: HashesFile) -> Hashes:
        """Hashes of the rows of every shard; those that no earlier version has kept are added to `new`."""
        known_hashes = read_hashes(self._files, self._schema, {shard.sha256 for shard in self.plan.reused})
        unread = [shard for shard in self.plan.reused if shard.sha256 not in known_hashes]
        for shard, hashes in zip(unread, self._files.each(self._computed_hashes, unread), strict=True):
            new.add(shard.sha256, hashes)
        known_hashes.take(new.ended())
        return known_hashes

    def _finished(self, path: str) -> Unit:
        unit = read_unit(self._files, path)
        if unit is None:
            raise StoreError(f"{self._files.root}/{path}: was there and is gone.")
        return unit

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
