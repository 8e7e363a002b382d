import dataclasses
import typing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds import ROWS
from uniaudio_schemas.kinds.annotated import Annotated, Word
from uniaudio_schemas.kinds.record import Codes, Landmarks, TextIds, from_table, schema, schema_of, to_table
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.testing import EXAMPLE_KINDS, example_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SCALARS = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """What a field of this type can hold."""
    if hint in SCALARS:
        return SCALARS[hint]
    if hint == Codes:
        frames = st.lists(st.lists(st.integers(0, 2**15 - 1), min_size=8, max_size=8), max_size=3)
        return frames.map(lambda rows: np.array(rows, np.int16).reshape(-1, 8))
    if hint == Landmarks:
        return st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(lambda marks: np.array(marks, np.int64))
    if hint == TextIds:
        return st.lists(st.integers(0, 2**31 - 1), max_size=4).map(lambda ids: np.array(ids, np.int32))
    if typing.get_origin(hint) is typing.Annotated:
        return values(typing.get_args(hint)[0])
    if typing.get_origin(hint) is list:
        return st.lists(values(typing.get_args(hint)[0]), max_size=3)
    if dataclasses.is_dataclass(hint):
        return instances(hint)
    inner = next(argument for argument in typing.get_args(hint) if argument is not type(None))
    return st.none() | values(inner)


def instances(cls: Any) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return st.builds(cls, **{field.name: values(hints[field.name]) for field in dataclasses.fields(cls)})


@pytest.mark.parametrize("row_class", ROWS, ids=EXAMPLE_KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_reading_a_table_inverts_writing_it(row_class: Any, data: st.DataObject) -> None:
    id_field = schema_of(row_class).id_field
    rows = data.draw(st.lists(instances(row_class), max_size=4, unique_by=lambda row: getattr(row, id_field)))
    table = to_table(rows, row_class)
    assert table.schema.equals(schema_of(row_class).arrow, check_metadata=True)
    found = from_table(table, row_class)
    assert found == sorted(rows, key=lambda row: getattr(row, id_field))
    assert [one for start in range(len(rows)) for one in from_table(table.slice(start, 1), row_class)] == found


def test_rows_come_out_in_the_order_of_their_ids_in_batches_of_1024() -> None:
    table = to_table(reversed(example_rows("tokens", 2100)), Tokens)
    ids = table["clip_id"].to_pylist()
    assert ids == sorted(ids)
    assert [len(batch) for batch in table.to_batches()] == [1024, 1024, 52]


def test_codes_are_views_of_the_tables_memory() -> None:
    table = to_table(example_rows("tokens", 3), Tokens)
    before = pa.total_allocated_bytes()
    codes = [row.reasoning_codes for row in from_table(table, Tokens)]
    assert [(one.dtype, one.shape, one.flags.owndata) for one in codes] == [(np.int16, (4, 8), False)] * 3
    assert pa.total_allocated_bytes() == before


def test_two_rows_with_one_id_are_refused_by_name() -> None:
    row = example_rows("raw")[0]
    with pytest.raises(DataError, match=f"`clip_id` must be unique, but '{row.clip_id}' is there twice"):
        to_table([row, replace(row, path="other")], type(row))


BAD_VALUES = [
    ("num_samples", "7", "num_samples"),
    ("num_samples", None, "must not be None"),
    ("num_samples", 2**63, "num_samples"),
    ("reasoning_codes", np.zeros((3, 7), int), r"shape must be \[n, 8\], but is \[3, 7\]"),
    ("reasoning_codes", np.full((1, 8), 40_000), "values must fit int16, but reach from 40000 to 40000"),
    ("reasoning_codes", np.zeros((1, 8)), "dtype must be an integer, but is float64"),
    ("reasoning_codes", None, "must not be None"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_VALUES)
def test_a_value_of_the_wrong_type_names_its_row_and_column(name: str, value: Any, message: str) -> None:
    good, bad = example_rows("tokens", 2)
    with pytest.raises(DataError, match=message) as caught:
        to_table([good, replace(bad, **{name: value})], Tokens)
    assert f"tokens row '{bad.clip_id}': column `{name}`" in str(caught.value)


def test_a_none_deep_inside_a_list_of_structs_is_found() -> None:
    word = Word(word="a", first_sample=0, num_samples=1, confidence=1.0)
    row = replace(example_rows("annotated")[0], words=[word, replace(word, first_sample=None)])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="column `words`: first_sample must not be None"):
        to_table([row], Annotated)


def test_an_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="`clip_id` must be a str, but is None"):
        to_table([replace(example_rows("tokens")[0], clip_id=None)], Tokens)


def test_a_table_that_lacks_a_column_is_refused() -> None:
    table = to_table(example_rows("tokens"), Tokens).drop_columns(["num_samples"])
    with pytest.raises(DataError, match="column `num_samples` must be int64, but is not there"):
        from_table(table, Tokens)


def test_rows_with_arrays_compare_by_their_values() -> None:
    one, other = example_rows("tokens", 2)
    assert one == example_rows("tokens")[0]
    assert one != other
    assert one != replace(one, reasoning_codes=one.reasoning_codes[:-1])


def test_a_released_version_cannot_be_registered_again_with_other_columns() -> None:
    with pytest.raises(UsageError, match="tokens v1 is Tokens already"):

        @schema("tokens", version=1, id_field="clip_id")
        @dataclass(frozen=True, kw_only=True)
        class Other:
            clip_id: str


def test_a_field_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(UsageError, match="but is <class 'complex'>"):

        @schema("test_complex", version=1, id_field="name")
        @dataclass(frozen=True, kw_only=True)
        class Other:
            name: str
            value: complex
