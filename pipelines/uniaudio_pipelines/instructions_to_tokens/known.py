"""Codes that are in the store already: of this codec, these numerics and this code, in whatever version."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.kinds.record import schema_of
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, ShardInfo

from uniaudio_pipelines.running.hashed import HashRange, ranges_of_shards

TOKENS = schema_of(Tokens).arrow.remove_metadata()


class KnownCodes:
    """All shards of tokens, each once, with the range of hashed clip ids that it holds."""

    def __init__(self, store: Store, metadata: dict[str, str]) -> None:
        self._store, self._metadata = store, metadata
        self._shards: dict[str, tuple[HashRange, Manifest, ShardInfo]] = {}
        for manifest in store.versions("tokens"):
            for part, shard in zip(ranges_of_shards(manifest), manifest.shards, strict=True):
                if shard.num_rows:
                    self._shards.setdefault(shard.sha256, (part, manifest, shard))

    def of(self, unit: HashRange, clips: pa.Array) -> pa.Table:
        """Rows of the clips of a unit that have codes. Reads the shards whose range overlaps the unit's, and no more of
        them once every clip is found."""
        tables: list[pa.Table] = [TOKENS.empty_table()]
        for table in self._tables(unit):
            if not len(clips):
                break
            new_rows = table.filter(pc.is_in(table["clip_id"], value_set=clips))
            if len(new_rows):
                tables.append(new_rows)
                clips = without(clips, new_rows)
        return pa.concat_tables(tables)

    def _tables(self, unit: HashRange) -> Iterator[pa.Table]:
        for part, manifest, shard in self._shards.values():
            if part.overlaps(unit):
                table = self._store.table_of_shard(manifest, shard)
                said = table.schema.metadata or {}
                if all(said.get(name.encode()) == value.encode() for name, value in self._metadata.items()):
                    yield table.replace_schema_metadata(None)


def without(clips: pa.Array, table: pa.Table) -> pa.Array:
    """The clips that have no row in the table."""
    return clips.filter(pc.invert(pc.is_in(clips, value_set=table["clip_id"].combine_chunks())))
