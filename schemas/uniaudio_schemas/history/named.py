"""Which ids the rows of a table name, by the relations of their class: in Arrow, wherever in a row they stand."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uniaudio_schemas.kinds.ids import Relation


def id_array(ids: Iterable[str]) -> pa.Array:
    """Sorted, each once. Not by `pa.array`, which loads pandas."""
    encoded = [one.encode() for one in sorted(set(ids))]
    offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def bool_array(mask: np.ndarray) -> pa.Array:
    """`[n]` bool, likewise."""
    bits = np.packbits(mask.astype(bool), bitorder="little")
    return pa.BooleanArray.from_buffers(pa.bool_(), len(mask), [None, pa.py_buffer(bits)])


def ids_at(table: pa.Table | pa.RecordBatch, path: tuple[str, ...]) -> Iterator[tuple[np.ndarray, pa.Array]]:
    """For each chunk, `[n]` int64 rows and `[n]` ids, of every id at `path`; nothing where an older version has no such column."""
    if path[0] not in table.schema.names:
        return
    column = table[path[0]]
    first = 0
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        rows, values, names = np.arange(first, first + len(chunk)), chunk, list(path[1:])
        while names or pa.types.is_list(values.type):
            if pa.types.is_list(values.type):
                rows, values = rows[numbers(pc.list_parent_indices(values))], values.flatten()
            else:
                values = pc.struct_field(values, names.pop(0))
        yield rows, values
        first += len(chunk)


def naming(table: pa.Table, path: tuple[str, ...], ids: pa.Array) -> np.ndarray:
    """`[rows]` bool: whether a row names one of `ids` at `path`."""
    mask = np.zeros(len(table), bool)
    for rows, values in ids_at(table, path):
        mask[rows[numbers(pc.indices_nonzero(pc.is_in(values, value_set=ids)))]] = True
    return mask


def all_ids(table: pa.Table, path: tuple[str, ...]) -> set[str]:
    """Ids that `table` names at `path`."""
    ids = {one for _, values in ids_at(table, path) for one in pc.unique(values).to_pylist()}
    return ids - {"", None}


def new_ids(table: pa.Table, relation: Relation, beside: Iterable[tuple[tuple[str, ...], pa.Array]]) -> set[str]:
    """Ids that `relation` names in those of its structs that also name an id of `beside`: pairs of a path within the struct and ids."""
    named_ids: set[str] = set()
    for _, structs in ids_at(table, relation.path[:-1]):
        inner = pa.table({name: structs.field(name) for name in structs.type.names})
        mask = np.zeros(len(inner), bool)
        for path, ids in beside:
            mask |= naming(inner, path, ids)
        named_ids |= all_ids(inner.filter(bool_array(mask)), relation.path[-1:])
    return named_ids


def numbers(array: pa.Array) -> np.ndarray:
    """`[N]` array of the whole numbers in an Arrow array without nulls. `to_numpy` is not used, since it loads pandas."""
    dtype = np.dtype(str(array.type))
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.zeros(0, dtype)
    return np.frombuffer(buffer, dtype)[array.offset : array.offset + len(array)]
