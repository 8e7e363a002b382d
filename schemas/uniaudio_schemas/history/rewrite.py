"""One version without the rows of a source: the shards that hold them are written again, all others are named again.

The new version stands under the plan that its edge would make from the rewritten parents, so that the edge finds it and makes nothing
again. What an edge would have put in a forgotten row's place (another clip within a limit, another partner of a mixture) is not made.
"""

import tarfile
import tempfile
from collections import Counter
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.history.named import all_ids, bool_array
from uniaudio_schemas.history.recount import recount
from uniaudio_schemas.history.traces import Trace, mask
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.ids import BLOB, Relation
from uniaudio_schemas.kinds.migrations import newest, schema_at
from uniaudio_schemas.kinds.record import from_table
from uniaudio_schemas.store.forgotten import PARAMETER, REASON, digest
from uniaudio_schemas.store.manifest import Manifest, Plan, ShardInfo
from uniaudio_schemas.store.shards import read_shard

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store
    from uniaudio_schemas.store.writer import Writer

OWNER = "uniaudio forget"


def rewrite(
    store: "Store", manifest: Manifest, trace: Trace, replaced: dict[tuple[str, str], str], ref: str
) -> Manifest | None:
    """The version that takes the place of `manifest`, behind `ref`; None where neither its rows nor its parents change."""
    masks = {
        shard.sha256: mask(store, manifest.kind, _table(store, manifest, shard), trace) for shard in manifest.shards
    }
    units = sorted({shard.unit for shard in manifest.shards if masks[shard.sha256].any()})
    parents = {kind: replaced.get((kind, content), content) for kind, content in manifest.parents.items()}
    if not units and parents == manifest.parents:
        return None
    plan = _plan(store, manifest, trace, parents, units)
    with store.writer(plan, owner=OWNER, ref=ref) as writer:
        for unit in sorted(set(units) - writer.done()):
            _put(store, writer, manifest, [shard for shard in manifest.shards if shard.unit == unit], masks, trace)
        return writer.publish()


def _plan(store: "Store", manifest: Manifest, trace: Trace, parents: dict[str, str], units: list[str]) -> Plan:
    plan = Plan(
        kind=manifest.kind,
        schema_version=manifest.schema_version,
        parents=parents,
        parameters=manifest.parameters,
        code_version=manifest.code_version,
        numerics=manifest.numerics,
        units=units,
        reused=[shard for shard in manifest.shards if shard.unit not in units],
    )
    lost_ids = [row_id for shard in manifest.shards for row_id in _lost_ids(store, manifest, shard, trace)]
    if plan.plan_id != manifest.plan_id and not _is_of_another(store, manifest, plan, len(lost_ids)):
        return plan
    # Without rewritten parents, as in raw: the same source less some clips is another plan. So is what is left of a version
    # when another one was made from just what is left of its parents.
    forgotten_ids = {row["row_id"] for row in store.dropped(manifest).to_pylist() if row["reason"] == REASON}
    return replace(plan, parameters={**manifest.parameters, PARAMETER: digest(forgotten_ids.union(lost_ids))})


def _is_of_another(store: "Store", manifest: Manifest, plan: Plan, num_lost: int) -> bool:
    """Whether the plan's version is there already, and is not what is left of `manifest`, published before a kill."""
    there = store.version(plan.kind, plan.plan_id)
    if there is None:
        return False
    drops = Counter(manifest.dropped)
    drops[REASON] += num_lost
    shards = {shard.sha256 for shard in there.shards}
    is_left = there.num_rows == manifest.num_rows - num_lost and +drops == Counter(there.dropped)
    return not (is_left and all(shard.sha256 in shards for shard in plan.reused))


def _lost_ids(store: "Store", manifest: Manifest, shard: ShardInfo, trace: Trace) -> list[str]:
    table = _table(store, manifest, shard)
    lost_rows = table.filter(bool_array(mask(store, manifest.kind, table, trace)))
    ids: list[str] = lost_rows[schema_at(manifest.kind, manifest.schema_version).id_field].to_pylist()
    return ids


def _table(store: "Store", manifest: Manifest, shard: ShardInfo) -> pa.Table:
    """Table of a shard in its own schema version, which shards that are named again keep."""
    return read_shard(store.shard_path(manifest, shard))


def _put(
    store: "Store", writer: "Writer", manifest: Manifest, shards: list[ShardInfo], masks: dict[str, Any], trace: Trace
) -> None:
    """One unit, which is one shard in all versions that edges write."""
    if len(shards) > 1:
        raise DataError(f"{manifest.kind} {manifest.plan_id[:8]}: unit {shards[0].unit!r} has {len(shards)} shards.")
    (shard,) = shards
    table, is_lost = _table(store, manifest, shard), masks[shard.sha256]
    kept_rows = table.filter(bool_array(~is_lost))
    kept_rows, blobs = _with_its_blobs(store, writer, manifest.kind, kept_rows, shard.blobs)
    before = from_table(store.dropped(replace(manifest, shards=[shard])), Dropped)
    ids = table.filter(bool_array(is_lost))[schema_at(manifest.kind, manifest.schema_version).id_field].to_pylist()
    of_source = trace.raw | trace.clips | trace.examples
    before = [replace(row, detail="") if row.row_id in of_source else row for row in before]
    forgotten_rows = [Dropped(row_id=row_id, reason=REASON) for row_id in ids]
    metadata = store.shard_metadata(manifest, shard)
    statistics = recount(store, writer.plan, kept_rows, shard.statistics)
    writer.put_shard(shard.unit, kept_rows, [*before, *forgotten_rows], metadata, statistics, blobs)


def _with_its_blobs(
    store: "Store", writer: "Writer", kind: str, kept: pa.Table, before: list[str]
) -> tuple[pa.Table, list[str]]:
    """The rows, naming blobs that hold nothing but what is of them, and those blobs."""
    of_blobs = [relation for relation in newest(kind).relations if relation.names.what == BLOB]
    for relation in of_blobs:
        if relation.names.offsets:
            kept = _without_members_of_others(store, writer, kept, newest(kind).id_field, relation)
    blobs = {blob for relation in of_blobs for blob in all_ids(kept, relation.path)}
    return kept, sorted(blobs) if of_blobs else before


def _without_members_of_others(
    store: "Store", writer: "Writer", kept: pa.Table, id_field: str, relation: Relation
) -> pa.Table:
    """The rows, naming tars that hold nothing but their own members."""
    name_column, offset_column = relation.path[0], relation.names.offsets
    names, offsets = kept[name_column].to_pylist(), kept[offset_column].to_pylist()
    ids = kept[id_field].to_pylist()
    for old in sorted(set(names) - {""}):
        member_ids = {row_id for row_id, name in zip(ids, names, strict=True) if name == old}
        # Has no name: a killed run leaves none of it behind.
        with store.open_blob(old).open("rb") as file, tempfile.TemporaryFile() as new_tar:
            places = copy_tar(file, new_tar, member_ids)
            new_tar.seek(0)
            new = writer.put_blob(new_tar)
        for index, row_id in enumerate(ids):
            if names[index] == old and row_id in places:
                names[index], offsets[index] = new, places[row_id]
    for column, values in ((name_column, names), (offset_column, offsets)):
        index = kept.schema.get_field_index(column)
        kept = kept.set_column(index, kept.schema.field(index), pa.array(values, kept.schema.field(index).type))
    return kept


def copy_tar(file: IO[bytes], made: IO[bytes], clips: set[str]) -> dict[str, int]:
    """The members of `clips` alone, as ingest would write them; returns where the audio of each begins."""
    places = {}
    with (
        tarfile.open(fileobj=file, mode="r:") as old,
        tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in old:
            clip, _, suffix = member.name.partition(".")
            if clip not in clips:
                continue
            if suffix == "flac":
                places[clip] = int(new.offset) + tarfile.BLOCKSIZE
            new.addfile(member, old.extractfile(member))
    return places
