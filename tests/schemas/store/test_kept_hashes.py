"""A version that names old shards again knows their rows' hashes without reading them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store import Store, kept_hashes, layout, shard_writer
from uniaudio_schemas.store import writer as writer_module
from uniaudio_schemas.store.content import HASHES
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.testing import a_plan, example_rows


def grown(store: Store, old: Manifest, unit: str = "delta") -> Manifest:
    """`old` and one row more."""
    plan = replace(a_plan(units=(unit,), rows_before=old.num_rows), reused=old.shards)
    with store.writer(plan, owner="test") as writer:
        writer.put_shard(unit, example_rows("raw", 1, first=old.num_rows))
        return writer.publish()


def hash_paths(store: Store) -> list[Path]:
    return [Path(store.root) / entry.path for entry in kept_hashes.hash_files(store.files, "raw")]


def whole(store: Store, num_rows: int) -> str:
    """The content id of the same rows in one shard that was just written."""
    with store.writer(a_plan(units=("all",), layout=num_rows), owner="test", ref="whole") as writer:
        writer.put_shard("all", example_rows("raw", num_rows))
        return writer.publish().content_id


@pytest.fixture
def no_shard_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "read_shard", lambda path: pytest.fail(f"{path} was read"))


@pytest.mark.usefixtures("no_shard_is_read")
def test_shards_that_are_named_again_are_not_read(store: Store, publish: Any) -> None:
    second = grown(store, publish())
    third = grown(store, second, "more")
    assert (second.content_id, third.content_id) == (whole(store, 7), whole(store, 8))


def test_what_no_file_says_is_computed_and_said_from_then_on(
    store: Store, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a store of earlier times."""
    old = publish()
    for path in hash_paths(store):
        path.unlink()
    second = grown(store, old)
    assert second.content_id == whole(store, 7)
    monkeypatch.setattr(writer_module, "read_shard", lambda path: pytest.fail(f"{path} was read"))
    assert grown(store, second, "more").content_id == whole(store, 8)


def test_a_file_whose_bytes_changed_is_named(store: Store, publish: Any) -> None:
    old = publish()
    (path,) = hash_paths(store)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"{path}: has other bytes than its name says"):
        grown(store, old)
    path.unlink()
    assert grown(store, old).num_rows == 7


def test_a_shard_that_is_put_again_is_not_hashed_again(
    store: Store, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish()
    monkeypatch.setattr(shard_writer, "row_hashes", lambda table, schema: pytest.fail("hashed again"))
    again = publish(a_plan(units=("queen-00000", "queen-00001"), other=1))
    assert again.content_id == first.content_id


def test_hashes_of_rows_under_another_schema_are_none(store: Store, publish: Any) -> None:
    shards = {shard.sha256 for shard in publish().shards}
    assert kept_hashes.read_hashes(store.files, newest("raw"), shards).keys() == shards
    other = replace(newest("raw"), version=newest("raw").version + 1)
    assert kept_hashes.read_hashes(store.files, other, shards) == {}


@pytest.mark.usefixtures("no_shard_is_read")
def test_while_a_shard_is_named_its_hashes_outlive_the_version_that_made_them(store: Store, publish: Any) -> None:
    second = grown(store, publish())
    assert any("/versions/" in path for path in store.collect(dry_run=False))
    assert grown(store, second, "more").num_rows == 8


def test_files_that_say_nothing_new_are_garbage_and_strictly_those_that_say_too_much(
    store: Store, publish: Any
) -> None:
    first = publish()
    files, kind = store.files, "raw"
    (of_first,) = hash_paths(store)
    grown(store, first)
    (of_delta,) = set(hash_paths(store)) - {of_first}
    whole(store, 7)
    one = {first.shards[0].sha256}
    gone = {Path(store.root) / path for path in kept_hashes.unneeded(files, kind, one)}
    assert of_first not in gone and of_delta in gone
    assert len(kept_hashes.unneeded(files, kind, one, strict=True)) == len(hash_paths(store))
    assert len(kept_hashes.unneeded(files, kind, set())) == len(hash_paths(store))


def test_a_file_of_earlier_times_says_nothing_and_is_garbage(store: Store, publish: Any) -> None:
    old = publish()
    for path in hash_paths(store):
        path.unlink()
    table = HASHES.with_metadata({"schema": "raw.v2", "shards": f'[["{old.shards[0].sha256}", 0]]'}).empty_table()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    store.files.write(layout.hashes_path("raw", hash_bytes(data)), data)
    assert grown(store, old).content_id == whole(store, 7)
    assert f"raw/hashes/{hash_bytes(data)}.arrow" in kept_hashes.unneeded(store.files, "raw", {old.shards[0].sha256})
