"""What differs between two versions of one kind. Rows are compared by their hashes, and only in shards that the two do not share."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store.content import row_hashes
from uniaudio_schemas.store.manifest import Manifest

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

Pair = list[Any]
"""[in the first, in the second]; None where one has it not."""


def difference(store: "Store", first: Manifest, second: Manifest) -> dict[str, Any]:
    """JSON values; a name whose values are equal in both is left out of `parents`, `parameters` and `dropped`."""
    if first.kind != second.kind:
        raise UsageError(f"`second` must be of {first.kind} as the first, but is of {second.kind}.")
    shared = {shard.sha256 for shard in first.shards} & {shard.sha256 for shard in second.shards}
    answer: dict[str, Any] = {
        "kind": first.kind,
        "plan_id": [first.plan_id, second.plan_id],
        "content_id": [first.content_id, second.content_id],
        "is_equal": first.content_id == second.content_id,
        "num_rows": [first.num_rows, second.num_rows],
        "shards": {"shared": len(shared), "first": len(first.shards), "second": len(second.shards)},
        "parents": _differing(first.parents, second.parents),
        "parameters": _differing(flat(first.parameters), flat(second.parameters)),
        "dropped": _differing(first.dropped, second.dropped),
    }
    for name in ("code_version", "numerics", "schema_version"):
        values = [getattr(first, name), getattr(second, name)]
        if values[0] != values[1]:
            answer[name] = values
    return {**answer, "rows": _rows(store, first, second, shared)}


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested objects by dotted names; lists stay whole."""
    if not isinstance(value, dict) or not value:
        return {name: value} if name else {}
    return {
        key: one for part in value for key, one in flat(value[part], f"{name}.{part}" if name else str(part)).items()
    }


def _differing(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Pair]:
    names = sorted(first.keys() | second.keys())
    return {name: [first.get(name), second.get(name)] for name in names if first.get(name) != second.get(name)}


def _rows(store: "Store", first: Manifest, second: Manifest, shared: set[str]) -> dict[str, list[str]]:
    """Ids of rows `added`, `removed` and `changed`, and the `columns` in which the changed differ."""
    schema = newest(first.kind)
    tables = [_own_rows(store, manifest, shared) for manifest in (first, second)]
    before, after = (_hashes(table, first.kind) for table in tables)
    changed = sorted(row_id for row_id in before.keys() & after.keys() if before[row_id] != after[row_id])
    wanted = pa.array(changed, pa.string())
    ids = schema.id_field
    left, right = (table.filter(pc.is_in(table[ids], value_set=wanted)).sort_by(ids) for table in tables)
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": changed,
        "columns": [name for name in schema.arrow.names if left[name].to_pylist() != right[name].to_pylist()],
    }


def _own_rows(store: "Store", manifest: Manifest, shared: set[str]) -> pa.Table:
    """Rows of the shards that the other version does not name, at the newest schema version."""
    tables = [store.table_of_shard(manifest, shard) for shard in manifest.shards if shard.sha256 not in shared]
    arrow = newest(manifest.kind).arrow
    return pa.concat_tables([arrow.empty_table(), *(table.replace_schema_metadata(arrow.metadata) for table in tables)])


def _hashes(table: pa.Table, kind: str) -> dict[str, bytes]:
    hashes = row_hashes(table, newest(kind))
    return dict(zip(hashes["id"].to_pylist(), hashes["hash"].to_pylist(), strict=True))
