"""What differs between two versions of one kind. Rows are compared by their hashes, a window of ids after the other, and only in shards that the
two do not share."""

from typing import TYPE_CHECKING, Any

import numpy as np

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.history.aligned import Window, windows
from uniaudio_schemas.history.codes_compared import CodesCompared, branches_of
from uniaudio_schemas.history.named import bool_array
from uniaudio_schemas.kinds.ids import CLIP
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.record import Schema
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
    return {**answer, **_compared(store, first, second, shared)}


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


def _compared(store: "Store", first: Manifest, second: Manifest, shared: set[str]) -> dict[str, Any]:
    """`rows`: ids of rows `added`, `removed` and `changed`, and the `columns` in which the changed differ. Of tokens also `codes`."""
    schema = newest(first.kind)
    rows: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
    columns = set[str]()
    branches = branches_of(schema.arrow) if schema.own_id.what == CLIP else ()
    codes = CodesCompared(branches=branches, id_field=schema.id_field) if branches else None
    for shard in first.shards:
        if codes and shard.sha256 in shared:
            codes.add_equal(store.table_of_shard(first, shard))
    for window in windows(store, first, second):
        rows["added"] += window.only_second[schema.id_field].to_pylist()
        rows["removed"] += window.only_first[schema.id_field].to_pylist()
        if window.first.equals(window.second):
            if codes:
                codes.add_equal(window.first)
            continue
        is_changed = bool_array(_differ(window, schema))
        before, after = window.first.filter(is_changed), window.second.filter(is_changed)
        rows["changed"] += before[schema.id_field].to_pylist()
        columns |= {name for name in schema.arrow.names if not before[name].equals(after[name])}
        if codes:
            codes.add(window)
    answer = {"rows": {**rows, "columns": [name for name in schema.arrow.names if name in columns]}}
    return answer | ({"codes": codes.answer()} if codes else {})


def _differ(window: Window, schema: Schema) -> np.ndarray:
    """`[rows]` bool: by the hashes that content ids are made of."""
    before, after = (row_hashes(table, schema)["hash"].combine_chunks() for table in (window.first, window.second))
    return np.array([one != other for one, other in zip(before.to_pylist(), after.to_pylist(), strict=True)], bool)
