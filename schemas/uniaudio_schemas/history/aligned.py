"""Two versions side by side: their rows by id, a window of ids after the other, so that only a window of each is looked at at a time.

Shards are sorted by id, so that a window is a slice of each; the slices are not copied until they are put together.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from uniaudio_schemas.history.named import bool_array, naming
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store.manifest import Manifest

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

WINDOW_ROWS = 65_536
"""Rows of each version in a window, about."""
_STEP = 1024
"""Rows between two of the ids from which the bounds of windows are chosen."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Rows whose ids lie between two bounds, each table sorted by id."""

    only_first: pa.Table
    only_second: pa.Table
    first: pa.Table
    """Rows of the first version and, in `second`, rows of the same ids in the same order."""
    second: pa.Table


def windows(store: "Store", first: Manifest, second: Manifest, window_rows: int = WINDOW_ROWS) -> Iterator[Window]:
    """Windows over the shards that the two versions do not share: a shared shard holds no difference."""
    shared = {shard.sha256 for shard in first.shards} & {shard.sha256 for shard in second.shards}
    id_field = newest(first.kind).id_field
    both = [
        [store.table_of_shard(one, shard) for shard in one.shards if shard.sha256 not in shared and shard.num_rows]
        for one in (first, second)
    ]
    empty = pa.Table.from_batches([], schema=newest(first.kind).arrow)  # `empty_table` loads pandas
    bounds = [None, *_bounds([table[id_field] for tables in both for table in tables], window_rows), None]
    for low, high in zip(bounds, bounds[1:], strict=False):
        left, right = (_between(tables, id_field, low, high, empty) for tables in both)
        yield _window(left, right, id_field)


def _bounds(columns: list[pa.ChunkedArray], window_rows: int) -> list[str]:
    """Ids that cut all rows of both versions into windows of about `window_rows` of each."""
    some = sorted(column[index].as_py() for column in columns for index in range(0, len(column), _STEP))
    num_windows = -(-sum(map(len, columns)) // (2 * window_rows)) if columns else 0
    return sorted({some[len(some) * number // num_windows] for number in range(1, num_windows)})


def _between(tables: list[pa.Table], id_field: str, low: str | None, high: str | None, empty: pa.Table) -> pa.Table:
    """Rows with `low <= id < high`, sorted by id."""
    parts = [empty]
    for table in tables:
        ids = _Ids(table[id_field])
        start = 0 if low is None else bisect_left(ids, low)
        end = len(table) if high is None else bisect_left(ids, high)
        if start < end:
            parts.append(table.slice(start, end - start).replace_schema_metadata(empty.schema.metadata))
    joined = pa.concat_tables(parts)
    return joined if len(parts) < 3 else joined.take(pc.sort_indices(joined[id_field]))


class _Ids:
    """A sorted column for `bisect`."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, index: int) -> str:
        value: str = self._column[index].as_py()
        return value


def _window(left: pa.Table, right: pa.Table, id_field: str) -> Window:
    in_both, also = (
        naming(one, (id_field,), other[id_field].combine_chunks()) for one, other in ((left, right), (right, left))
    )
    return Window(
        only_first=left.filter(bool_array(~in_both)),
        only_second=right.filter(bool_array(~also)),
        first=left.filter(bool_array(in_both)),
        second=right.filter(bool_array(also)),
    )
