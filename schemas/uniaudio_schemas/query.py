"""Versions as Polars frames: lazy, so that only the columns that a query needs are read.

from uniaudio_schemas.query import scan
scan(Store("data/store"), "tokens").select(pl.col("num_samples").sum() / 24_000).collect()
"""

from typing import TYPE_CHECKING

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.extras import optional_packages
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.record import SCHEMAS
from uniaudio_schemas.store import Store, layout
from uniaudio_schemas.store.manifest import Manifest

if TYPE_CHECKING:
    import polars as pl


def scan(store: Store, kind: str, ref: str = "latest") -> "pl.LazyFrame":
    """The version behind `ref`, at the newest schema version. `UsageError` where there is none."""
    kinds = sorted({name for name, _ in SCHEMAS} - {"dropped", "run"})
    if kind not in kinds:
        raise UsageError(f"`kind` must be one of {', '.join(kinds)}, but is {kind!r}.")
    manifest = store.head(kind, ref)
    if manifest is None:
        raise UsageError(f"{store.root}: `{kind}` has no version behind `{ref}` yet.")
    return scan_version(store, manifest)


def scan_version(store: Store, manifest: Manifest) -> "pl.LazyFrame":
    with optional_packages():
        import polars as pl

    shards = [shard for shard in manifest.shards if shard.num_rows]
    if shards and manifest.schema_version == newest(manifest.kind).version:
        options = store.files.scan_options
        if options is None:
            return pl.scan_ipc([store.shard_path(manifest, shard) for shard in shards])
        # Polars asks the object store for the columns alone, nothing is copied to the cache.
        paths = [f"{store.root}/{layout.shard_path(manifest.kind, shard.sha256)}" for shard in shards]
        return pl.scan_ipc(paths, storage_options=options)
    # Older versions go through their migrations, which are Arrow's; the scan of files cannot do that.
    frame = pl.from_arrow(store.read(manifest))
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"a table gives a frame, but polars gave {type(frame).__name__}")
    return frame.lazy()
