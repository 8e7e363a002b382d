from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.record import schema_of, to_table
from uniaudio_schemas.store import content
from uniaudio_schemas.store.content import content_id, row_hashes
from uniaudio_schemas.testing import EXAMPLE_KINDS, example_rows


def id_of(*shards: list[Any]) -> str:
    schema = schema_of(type(next(row for shard in shards for row in shard)))
    return content_id([row_hashes(to_table(shard, schema.row_class), schema) for shard in shards], schema)


@pytest.mark.parametrize("kind", EXAMPLE_KINDS)
@settings(max_examples=10, deadline=None)
@given(places=st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_the_content_id_does_not_depend_on_how_rows_are_cut_into_shards(kind: str, places: list[int]) -> None:
    rows = example_rows(kind, 5)
    shards = [[row for row, place in zip(rows, places, strict=True) if place == number] for number in range(4)]
    assert id_of(*shards) == id_of(rows)


def test_the_content_id_does_not_depend_on_record_batches_nor_on_what_lies_below_a_null() -> None:
    rows = example_rows("raw", 7)
    schema = schema_of(type(rows[0]))
    table = to_table(rows, schema.row_class)
    rebatched = pa.concat_tables([table.slice(0, 2), table.slice(2, 1), table.slice(3)])
    _, offsets, data = pa.array(["secret"] * 7).buffers()
    masked = pa.StringArray.from_buffers(7, offsets, data, pa.py_buffer(b"\0"))
    hidden = rebatched.set_column(table.schema.get_field_index("text"), schema.arrow.field("text"), masked)
    assert content_id([row_hashes(hidden, schema)], schema) == id_of(rows)


def other(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value[:-1]
    if isinstance(value, list):
        return value[1:] if value else None
    return {str: "other", int: 7, float: 7.5, bool: not value}.get(type(value))


@pytest.mark.parametrize("kind", EXAMPLE_KINDS)
def test_every_column_enters_the_content_id(kind: str) -> None:
    row = example_rows(kind)[0]
    for field in fields(row):
        changed = other(getattr(row, field.name))
        if changed is not None:
            assert id_of([replace(row, **{field.name: changed})]) != id_of([row]), field.name


def test_neighbouring_texts_and_lists_do_not_run_into_each_other() -> None:
    row = example_rows("raw")[0]
    pairs = [
        ({"speaker": "ab", "given_text": "c"}, {"speaker": "a", "given_text": "bc"}),
        ({"given_tags": ["ab"]}, {"given_tags": ["a", "b"]}),
        ({"given_tags": ["ab", "c"]}, {"given_tags": ["a", "bc"]}),
        ({"text": None}, {"text": ""}),
    ]
    for left, right in pairs:
        assert id_of([replace(row, **left)]) != id_of([replace(row, **right)])
    instruction = example_rows("instructions")[0]
    recipe = instruction.recipes[0]

    def mixed(*parents: str) -> Any:
        return replace(instruction, recipes=[replace(recipe, parents=list(names)) for names in parents])

    assert id_of([mixed("ab", "c")]) != id_of([mixed("a", "bc")])


def test_an_id_in_two_shards_is_refused() -> None:
    row = example_rows("raw")[0]
    with pytest.raises(DataError, match=f"`clip_id` '{row.clip_id}' is in two shards"):
        id_of([row], [row])


@settings(max_examples=30, deadline=None)
@given(places=st.lists(st.integers(0, 9), min_size=60, max_size=60), window=st.integers(1, 80), step=st.integers(1, 9))
def test_windows_of_a_large_version_say_what_one_window_says(places: list[int], window: int, step: int) -> None:
    rows = sorted(example_rows("raw", 60), key=lambda row: row.clip_id)
    # A row that is in two shards, the last one of one of them.
    begun, rows, twice = rows[:3], rows[3:], rows[41]
    schema, asked = schema_of(type(twice)), list[int]()
    shards = [[row for row, place in zip(rows, places, strict=False) if place == number] for number in range(10)]
    tables = [row_hashes(to_table(shard, schema.row_class), schema) for shard in [*shards, [*begun, twice]]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "_WINDOW_ROWS", window)
        patch.setattr(content, "_STEP_ROWS", step)
        windowed = content_id(tables[:-1], schema, between=lambda: asked.append(1))
        with pytest.raises(DataError, match=f"{twice.clip_id}' is in two shards"):
            content_id(tables, schema)
    assert windowed == id_of(rows)
    # A window is too long by at most the step of each shard.
    assert len(asked) - 1 >= len(rows) / (window + 10 * step)
