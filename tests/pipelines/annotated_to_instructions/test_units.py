"""Units: from a manifest alone, of bounded size, and one for each clip."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_pipelines.annotated_to_instructions.routes import hash64
from uniaudio_pipelines.annotated_to_instructions.units import (
    cells_of,
    num_units_by_source,
    parse_unit,
    spread_of,
    unit_name,
    unit_numbers,
    units_of,
)
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store.manifest import Manifest, ShardInfo


def a_manifest(**rows: list[int]) -> Manifest:
    shards = [
        ShardInfo(unit=f"{source}-{number:05d}", sha256="", num_rows=count, num_bytes=0)
        for source, counts in rows.items()
        for number, count in enumerate(counts)
    ]
    return Manifest(
        kind="annotated", schema_version=3, plan_id="", content_id="", parents={}, parameters={}, code_version="", numerics="", shards=shards
    )  # fmt: skip


def hashes(*names: str) -> np.ndarray:
    return np.array([hash64(name) for name in names], np.uint64)


def test_a_source_has_a_power_of_two_of_units_however_it_is_sharded() -> None:
    assert num_units_by_source(a_manifest(a=[100, 1], b=[0], c=[40] * 10), 100) == {"a": 2, "b": 1, "c": 4}
    assert units_of(a_manifest(a=[101]), 100) == units_of(a_manifest(a=[1, 100]), 100) == ["a-00000", "a-00001"]


def test_a_few_more_rows_leave_the_units_as_they_were() -> None:
    assert units_of(a_manifest(a=[300]), 100) == units_of(a_manifest(a=[310]), 100)


@given(st.text(min_size=1), st.integers(0, 99_999))
def test_the_name_of_a_unit_is_read_back(source: str, number: int) -> None:
    assert parse_unit(unit_name(source, number)) == (source, number)


def test_what_is_no_unit_is_refused() -> None:
    with pytest.raises(UsageError, match="must be a source and a number"):
        parse_unit("queen")


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 60), st.integers(0, 400))
def test_every_row_has_one_unit_and_keys_stay_together_where_they_fit(power: int, num_keys: int, num_rows: int) -> None:
    num_units, limit = 1 << power, 50
    own = hashes(*(f"clip {number}" for number in range(num_rows)))
    keys = hashes(*(f"key {number % num_keys}" for number in range(num_rows)))
    counts = np.bincount(cells_of(keys, num_units), minlength=16 * num_units)
    units = unit_numbers(keys, own, counts, num_units, limit)
    assert ((units >= 0) & (units < num_units)).all()
    for key in np.unique(keys):
        cell = int(cells_of(np.array([key], np.uint64), num_units)[0])
        first, num_parts = spread_of(cell, counts, num_units, limit)
        places = set((units[keys == key] - first) % num_units)
        assert places <= set(range(num_parts)), "the parts of a key are neighbours"
        assert num_parts == 1 or counts[cell] > limit


def test_no_unit_grows_with_its_largest_key() -> None:
    own = hashes(*(f"clip {number}" for number in range(4_000)))
    keys = np.full(4_000, hash64("one voice"), np.uint64)
    counts = np.bincount(cells_of(keys, 64), minlength=16 * 64)
    sizes = np.bincount(unit_numbers(keys, own, counts, 64, 100), minlength=64)
    assert sizes.max() < 2 * 100
    assert (sizes > 0).sum() == 40
