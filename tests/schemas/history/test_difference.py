"""What differs between two versions, and of tokens by how much."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_schemas.history import aligned
from uniaudio_schemas.history.aligned import windows
from uniaudio_schemas.history.codes_compared import codes_that_differ
from uniaudio_schemas.history.difference import difference
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.testing import clip_id, example_rows

from tests.schemas import arc


def publish(store: Store, rows: list[Tokens], num_shards: int, **parameters: int) -> Manifest:
    units = {f"clips-{part}": {"rows": rows[part::num_shards]} for part in range(num_shards)}
    arc.publish(store, "tokens", {}, units, **parameters)
    head = store.head("tokens")
    assert head is not None
    return head


def changed(row: Tokens, num_codes: int) -> Tokens:
    """`row` with so many other reasoning codes."""
    codes = row.reasoning_codes.copy()
    codes.reshape(-1)[:num_codes] += 1
    return replace(row, reasoning_codes=codes)


def test_of_tokens_it_says_which_clips_changed_and_by_how_much(store: Store) -> None:
    rows = example_rows("tokens", 30)
    first = publish(store, rows, 3)
    longer = replace(rows[2], reconstruction_codes=np.concatenate([rows[2].reconstruction_codes] * 2))
    others = [changed(rows[0], 8), changed(rows[1], 1), longer, *rows[3:29], example_rows("tokens", first=40)[0]]
    second = publish(store, others, 4, again=1)
    answer = difference(store, first, second)
    assert answer["rows"]["added"] == [clip_id(40)] and answer["rows"]["removed"] == [clip_id(29)]
    assert answer["rows"]["changed"] == sorted(clip_id(number) for number in range(3))
    assert answer["rows"]["columns"] == ["reasoning_codes", "reconstruction_codes"]
    codes = answer["codes"]
    assert (codes["clips"], codes["changed"]) == (29, 3)
    assert codes["branches"] == {
        "reasoning_codes": {"clips": 2, "share": pytest.approx(9 / (29 * 32)), "share_of_changed": pytest.approx(9 / 64)},
        "reconstruction_codes": {"clips": 1, "share": pytest.approx(80 / (28 * 80 + 160)), "share_of_changed": 0.5},
    }  # fmt: skip
    assert codes["most"] == [
        {"clip_id": clip_id(2), "reasoning_codes": 0.0, "reconstruction_codes": 0.5},
        {"clip_id": clip_id(0), "reasoning_codes": 0.25, "reconstruction_codes": 0.0},
        {"clip_id": clip_id(1), "reasoning_codes": 0.03125, "reconstruction_codes": 0.0},
    ]


def test_clips_of_shards_that_both_name_count_as_the_same(store: Store) -> None:
    rows = example_rows("tokens", 4)
    first = publish(store, rows, 2)
    second = publish(store, [changed(rows[0], 32), *rows[1:]], 2, again=1)
    answer = difference(store, first, second)
    assert answer["shards"]["shared"] == 1
    assert (answer["codes"]["clips"], answer["codes"]["changed"]) == (4, 1)
    assert answer["codes"]["branches"]["reasoning_codes"]["share"] == 0.25


def test_equal_clips_in_other_shards_count_as_the_same(store: Store) -> None:
    rows = example_rows("tokens", 4)
    answer = difference(store, publish(store, rows, 1), publish(store, rows, 2, again=1))
    assert answer["shards"]["shared"] == 0
    assert (answer["codes"]["clips"], answer["codes"]["changed"]) == (4, 0)


def test_no_more_than_ten_clips_are_named_the_most_changed_first(store: Store) -> None:
    rows = example_rows("tokens", 20)
    first, second = publish(store, rows, 1), publish(store, [changed(row, n) for n, row in enumerate(rows)], 1, again=1)
    most = difference(store, first, second)["codes"]["most"]
    assert [one["reasoning_codes"] for one in most] == [round(number / 32, 6) for number in range(19, 9, -1)]


def test_other_kinds_say_nothing_of_codes(memory_folder: Path) -> None:
    store = arc.make_arc(memory_folder / "store")
    for kind in ("sequences", "raw"):
        head = store.head(kind)
        assert head is not None and "codes" not in difference(store, head, head)


@pytest.mark.parametrize("window_rows", [1, 7, 1000])
def test_windows_hold_every_row_once_in_order(store: Store, window_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligned, "_STEP", 3)
    rows = example_rows("tokens", 60)
    first, second = publish(store, rows[:40], 3), publish(store, rows[20:], 2, again=1)
    found = list(windows(store, first, second, window_rows))
    assert (len(found) > 5) == (window_rows < 1000)
    ids = [sorted(row.clip_id for row in some) for some in (rows[:20], rows[40:], rows[20:40], rows[20:40])]
    for name, wanted in zip(("only_first", "only_second", "first", "second"), ids, strict=True):
        tables = [getattr(window, name) for window in found]
        assert pa.concat_tables(tables)["clip_id"].to_pylist() == wanted


CODES = st.lists(st.lists(st.lists(st.integers(0, 1), min_size=8, max_size=8), max_size=3), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None)
@given(CODES, CODES)
def test_codes_are_compared_as_one_by_one(left: list[list[list[int]]], right: list[list[list[int]]]) -> None:
    first, second = (column(codes) for codes in (left, right))
    num_changed, num_codes = codes_that_differ(first, second)
    for index, (one, other) in enumerate(zip(left, right, strict=True)):
        flat, also = ([code for frame in codes for code in frame] for codes in (one, other))
        same = sum(a == b for a, b in zip(flat, also, strict=False))
        assert num_codes[index] == max(len(flat), len(also))
        assert num_changed[index] == num_codes[index] - same


def column(codes: list[list[list[int]]]) -> pa.ChunkedArray:
    (row,) = example_rows("tokens")
    rows = [
        replace(row, clip_id=str(index), reasoning_codes=np.array(one, np.int16).reshape(-1, 8))
        for index, one in enumerate(codes)
    ]
    return to_table(rows, Tokens)["reasoning_codes"]
