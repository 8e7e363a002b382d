"""Units follow contents: one file more is one unit more to do, and what is published is what a full run would publish."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniaudio_pipelines.source_to_raw.entries import LISTING
from uniaudio_pipelines.source_to_raw.listing import list_source, load_listing, share
from uniaudio_pipelines.source_to_raw.units import with_units
from uniaudio_schemas.history.forget import forget, survey
from uniaudio_schemas.store import Store


def listing(paths: list[str], sizes: int = 10) -> pa.Table:
    """As `entries` makes it, of audio files."""
    rows = [
        {name: "" for name in LISTING.names}
        | {"corpus": path.split("/")[0], "path": path, "sha256": path, "medium": "audio", "size": sizes, "rank": 0}
        for path in sorted(paths, key=lambda path: (path.split("/")[0], path))
    ]
    return pa.Table.from_pylist(rows, LISTING)


def units(paths: list[str], max_files: int = 64, **others: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in with_units(listing(paths), max_files, others.get("max_bytes", 1 << 30)).to_pylist():
        found.setdefault(row["unit"], []).append(row["path"])
    return found


def test_one_file_more_among_500_is_one_unit_to_make_and_the_manifest_is_that_of_a_full_run(source: Any) -> None:
    for number in range(500):
        source.text(f"books/{number // 50}/{number:04d}.txt", f"page {number}")
    first = source.ingest()
    source.text("books/4/0222b.txt", "a new page")
    plan = source.job().plan(Store(source.store))
    assert (len(plan.units), len(plan.reused)) == (1, len(first.manifest.shards) - 1)
    made = source.ingest().manifest
    assert made.num_rows == 501
    shutil.rmtree(source.store)
    assert source.ingest().manifest.to_json() == made.to_json()


def test_a_label_that_changes_makes_its_unit_again(source: Any) -> None:
    for corpus in ("a", "b"):
        source.wav(f"{corpus}/x.wav")
        source.text(f"{corpus}/metadata.jsonl", '{"path": "x.wav", "given_text": "one"}')
    first = source.ingest().manifest
    source.text("b/metadata.jsonl", "", '{"path": "x.wav", "given_text": "one"}')
    assert source.job().plan(Store(source.store)).plan_id == first.plan_id, "where a line stands says nothing"
    source.text("b/metadata.jsonl", '{"path": "x.wav", "given_text": "two"}')
    (unit,) = source.job().plan(Store(source.store)).units
    assert unit.startswith("b-")
    assert [row.given_text for row in source.ingest().rows] == ["one", "two"]


def test_shards_made_with_other_parameters_are_not_taken_over(source: Any) -> None:
    source.text("books/a.txt", "a page")
    source.ingest()
    source.text("more/a.txt", "another page")
    assert len(source.job().plan(Store(source.store)).reused) == 1
    assert len(source.job(min_s=0.5).plan(Store(source.store)).reused) == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_file_more_changes_few_units_and_none_is_too_large(seed: int) -> None:
    generator = np.random.default_rng(seed)
    names = [f"c/{number:06d}.wav" for number in generator.choice(10**6, 701, replace=False)]
    before, after = units(names[:-1]), units(names)
    assert all(len(paths) <= 64 for paths in after.values())
    assert sorted(path for paths in after.values() for path in paths) == sorted(names)
    changed = sum(len(after[unit]) for unit in set(after) - set(before))
    assert changed <= 64 or seed not in range(8), "rarely, a cut moves"
    assert all(paths == sorted(paths) for paths in after.values())


def test_on_average_a_file_more_remakes_half_a_unit() -> None:
    generator = np.random.default_rng(0)
    names = [f"c/{number:06d}.wav" for number in range(2_000)]
    before = set(units(names))
    changed = []
    for number in generator.choice(2_000, 60, replace=False):
        after = units([*names, f"c/{number:06d}b.wav"])
        changed.append(sum(len(after[unit]) for unit in set(after) - before))
    assert np.median(changed) <= 64 and np.mean(changed) <= 64


def test_large_files_fill_a_unit_alone() -> None:
    found = with_units(listing([f"c/{n}.wav" for n in range(10)], sizes=60), 64, 100).to_pylist()
    assert len({row["unit"] for row in found}) == 10


def test_byte_equal_files_are_in_the_unit_of_the_first_of_them() -> None:
    table = listing(["a/1.wav", "b/1.wav", "b/2.wav"])
    index = table.schema.get_field_index("sha256")
    table = table.set_column(index, table.schema.field(index), pa.array(["x", "x", "y"]))
    found = {row["path"]: row["unit"] for row in with_units(table, 64, 1000).to_pylist()}
    assert found["a/1.wav"] == found["b/1.wav"] != found["b/2.wav"]


def test_a_forgotten_stretch_stays_forgotten_and_a_forgotten_file_takes_its_stretches_along(source: Any) -> None:
    source.wav("talks/a.wav", "talks/b.wav", seconds=1.0)
    lines = ['{"path": "a.wav", "start_s": 0.1, "end_s": 0.5}', '{"path": "a.wav", "start_s": 0.5, "end_s": 0.9}']
    source.text("talks/metadata.jsonl", *lines)
    made = source.ingest()
    gone = made.rows[0]
    forget(made.store, survey(made.store, gone.clip_id))
    left = made.store.head("raw")
    assert left is not None and left.num_rows == 2
    assert source.job().plan(made.store).plan_id == left.plan_id, "nothing is made again"
    assert {row.clip_id for row in source.ingest(min_s=0.2).rows} == {row.clip_id for row in made.rows[1:]}
    whole = made.rows[2]
    forget(made.store, survey(made.store, whole.clip_id))
    source.text("talks/metadata.jsonl", *lines, '{"path": "b.wav", "start_s": 0.1, "end_s": 0.5}')
    assert [row.path for row in source.ingest().rows] == ["talks/a.wav"]


def test_a_listing_travels_through_an_object_store_to_machines_that_list_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_text("Bees.")
    bucket: Any = SimpleNamespace(root="s3://bucket/corpus", files=Store(tmp_path / "bucket").files)
    found = list_source(str(tmp_path / "source"), tmp_path / "driver", frozenset())
    share(found, bucket)
    share(found, bucket)
    monkeypatch.setattr("uniaudio_pipelines.source_to_raw.listing.list_source", None)
    seen = load_listing(found.name, "nowhere", tmp_path / "worker", frozenset(), None, bucket)
    assert (seen.name, seen.units(), seen.table()) == (found.name, found.units(), found.table())


def test_a_store_on_a_disk_keeps_one_copy_of_a_listing(source: Any) -> None:
    source.text("a.txt", "Bees.")
    source.ingest()
    assert len(list(source.root.parent.rglob("listing-*.arrow"))) == 1
