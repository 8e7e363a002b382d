"""Versions as Polars frames: lazy, so that only the columns and rows a query needs are read.

    from uniaudio_schemas.query import scan
    scan(Store("data/store"), "tokens").select(pl.col("num_samples").sum() / 24_000).collect()
"""

from typing import TYPE_CHECKING

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store

if TYPE_CHECKING:
    import polars as pl


def scan(store: Store, kind: str, ref: str = "latest") -> "pl.LazyFrame":
    """The version behind `ref` as a lazy frame. UsageError where there is none."""
    import polars as pl

    manifest = store.head(kind, ref)
    if manifest is None:
        raise UsageError(f"`{kind}` has no version behind `{ref}` yet.")
    paths = [store.shard_path(kind, shard) for shard in manifest.shards if shard.num_rows]
    if not paths:
        return pl.LazyFrame(pl.from_arrow(store.read(manifest)))
    # One scan a shard: shards of older schema versions lack columns, which a diagonal union fills with nulls.
    return pl.concat([pl.scan_ipc(path) for path in paths], how="diagonal")
