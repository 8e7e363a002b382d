"""Rows by the hash of their id: ranges, look-ups, and which shard can hold what."""

import numpy as np
import pyarrow as pa
import pytest
from uniaudio_pipelines.running.hashed import (
    EVERYTHING,
    HashRange,
    between,
    hashed,
    hashes_of,
    positions_of,
    range_numbers,
    ranges_of,
    ranges_of_shards,
    rows_with,
)
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.store.manifest import Manifest, ShardInfo

NAMES = [f"clip-{number}" for number in range(200)]


def manifest_with(units: list[str]) -> Manifest:
    shards = [ShardInfo(unit=unit, sha256="", num_rows=1, num_bytes=1) for unit in units]
    return Manifest(
        kind="tokens", schema_version=1, plan_id="p", content_id="c", parents={}, parameters={}, code_version="",
        numerics="", shards=shards,
    )  # fmt: skip


def test_a_hash_is_the_beginning_of_the_sha256() -> None:
    assert [f"{value:016x}" for value in hashes_of(NAMES).tolist()] == [hash_bytes(n.encode())[:16] for n in NAMES]


@pytest.mark.parametrize("bits", [0, 1, 5, 13])
def test_the_ranges_of_a_number_of_bits_hold_every_hash_once(bits: int) -> None:
    parts = list(ranges_of(bits))
    assert (parts[0].first, parts[-1].last) == (0, 2**64 - 1)
    assert all(one.last + 1 == other.first for one, other in zip(parts, parts[1:], strict=False))
    for value, number in zip(hashes_of(NAMES).tolist(), range_numbers(hashes_of(NAMES), bits).tolist(), strict=True):
        assert parts[number].first <= value <= parts[number].last
    assert [HashRange.of_unit(part.unit) for part in parts] == parts
    assert [part.unit for part in parts] == sorted(part.unit for part in parts)


@pytest.mark.parametrize("name", ["clips-4-of-4", "clips-0-of-3", "clips-00001", "all"])
def test_a_name_that_says_no_range_has_none(name: str) -> None:
    assert HashRange.of_unit(name) is None


def test_a_range_overlaps_its_parts_and_its_whole_and_no_neighbour() -> None:
    whole, left, right = HashRange(number=1, bits=1), HashRange(number=2, bits=2), HashRange(number=3, bits=2)
    assert whole.overlaps(left) and left.overlaps(whole) and whole.overlaps(right)
    assert not left.overlaps(right) and not right.overlaps(left)
    assert not HashRange(number=0, bits=1).overlaps(left)


def test_a_shard_says_its_range_by_its_unit_and_an_earlier_version_by_how_many_it_has() -> None:
    assert ranges_of_shards(manifest_with(["clips-0-of-2", "clips-1-of-2"])) == list(ranges_of(1))
    assert ranges_of_shards(manifest_with([f"clips-{number:05d}" for number in range(4)])) == list(ranges_of(2))
    for units in (["all"], ["clips-00000", "clips-00001", "clips-00002"], ["clips-00001"], ["clips-00000", "other"]):
        assert ranges_of_shards(manifest_with(units)) == [EVERYTHING] * len(units)


def test_rows_are_found_by_their_ids_whatever_else_has_the_same_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "uniaudio_pipelines.running.hashed.hashes_of", lambda names: np.array([len(name) for name in names], np.uint64)
    )
    table = hashed(pa.table({"clip_id": NAMES, "value": range(200)}), "clip_id")
    found = rows_with(table, pa.array(["clip-7", "clip-123", "lost", "clip-0"]), "clip_id")
    assert sorted(found["value"].to_pylist()) == [0, 7, 123]


def test_a_hashed_table_has_every_id_once_in_the_order_of_hashes() -> None:
    table = hashed(pa.table({"clip_id": NAMES + NAMES[::-1], "value": range(400)}), "clip_id")
    hashes = table["hash"].to_numpy()
    assert (np.diff(hashes.astype(float)) > 0).all() and sorted(table["clip_id"].to_pylist()) == sorted(NAMES)
    parts = [between(table, part) for part in ranges_of(3)]
    assert pa.concat_tables(parts).equals(table) and all(len(part) for part in parts)


def test_positions_are_all_pairs_of_equal_hashes() -> None:
    sorted_hashes, wanted = np.array([1, 3, 3, 7], np.uint64), np.array([3, 2, 7, 3], np.uint64)
    pairs = sorted(zip(*(array.tolist() for array in positions_of(sorted_hashes, wanted)), strict=True))
    assert pairs == [(0, 1), (0, 2), (2, 3), (3, 1), (3, 2)]
    assert [len(array) for array in positions_of(sorted_hashes, np.zeros(0, np.uint64))] == [0, 0]
