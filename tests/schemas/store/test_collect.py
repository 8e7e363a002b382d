import os
import time
from pathlib import Path
from typing import Any

from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.collect import ABANDONED_S
from uniaudio_schemas.store.manifest import Plan
from uniaudio_schemas.store.runs import log_run, read_runs
from uniaudio_schemas.testing import a_plan, a_run, example_rows


def paths(store: Store) -> set[Path]:
    return {path for path in store.root.rglob("*") if path.is_file()}


def test_a_store_whose_versions_are_all_referenced_has_no_garbage(store: Store, publish: Any) -> None:
    publish(), publish(a_plan("tokens"))
    assert store.collect() == []


def test_a_dry_run_names_what_the_real_one_removes_and_removes_nothing(store: Store, publish: Any) -> None:
    old, new = publish(), publish(a_plan(units=("a",), other=1))
    before = paths(store)
    named = store.collect()
    assert paths(store) == before
    gone = [shard for shard in old.shards if shard.sha256 not in {one.sha256 for one in new.shards}]
    expected = [store.root / f"raw/versions/{old.plan_id}.json", *(store.shard_path(old, shard) for shard in gone)]
    expected += [
        path for path in before if path.parent.name == "hashes" and gone[0].sha256 in path.read_text("latin-1")
    ]
    assert named == sorted(map(str, expected)) and gone
    assert store.collect(dry_run=False) == named
    assert set(map(str, before - paths(store))) == set(named)
    store.verify(new)
    assert store.collect() == [] and store.version("raw", old.plan_id) is None


def test_ancestors_of_a_referenced_version_are_kept(store: Store, publish: Any) -> None:
    old = publish()
    middle = child("tokens", {"raw": old.content_id})
    publish(middle)
    publish(child("sequences", {"tokens": publish(middle).content_id}))
    publish(a_plan(other=1))
    publish(a_plan("tokens", other=2))
    # Equal shards have equal hashes, which need not be kept twice.
    assert [path for path in store.collect() if "/hashes/" not in path] == []


def child(kind: str, parents: dict[str, str]) -> Plan:
    return Plan(
        kind=kind,
        schema_version=newest(kind).version,
        parents=parents,
        parameters={},
        code_version="1",
        units=["queen-00000"],
    )


def test_blobs_and_dropped_shards_live_as_long_as_what_names_them(store: Store, publish: Any) -> None:
    from uniaudio_schemas.store import Dropped

    with store.writer(a_plan(old=1), owner="test") as writer:
        blob = writer.put_blob(b"tar")
        writer.put_shard("queen-00000", [], [Dropped(row_id="x", reason="empty")], blobs=[blob])
        manifest = writer.publish()
    assert store.collect() == []
    publish()
    store.collect(dry_run=False)
    assert not (store.root / "blobs" / blob[:2] / blob).exists()
    assert not (store.root / f"dropped/shards/{manifest.shards[0].dropped_sha256}.arrow").exists()


def test_finished_units_of_an_unfinished_run_are_kept_until_they_are_abandoned(store: Store) -> None:
    plan = a_plan(units=("a", "b"))
    with store.writer(plan, owner="test") as writer:
        writer.put_shard("a", example_rows("raw"), blobs=[writer.put_blob(b"tar")])
    (store.root / f"raw/staging/{plan.plan_id}/.tmp-1-x").write_text("killed")
    assert [Path(path).name for path in store.collect(dry_run=False)] == [".tmp-1-x"]
    with store.writer(plan, owner="test") as writer:
        assert writer.done() == {"a"}
    for path in (store.root / f"raw/staging/{plan.plan_id}").iterdir():
        os.utime(path, (time.time() - ABANDONED_S - 60,) * 2)
    assert len(store.collect(dry_run=False)) == 3
    assert not (store.root / f"raw/staging/{plan.plan_id}").exists()


def test_while_a_run_is_alive_nothing_is_taken_from_it(store: Store) -> None:
    with store.writer(a_plan(), owner="test") as writer:
        blob = writer.put_blob(b"tar")
        assert store.collect(dry_run=False) == []
        writer.put_shard("queen-00000", [], blobs=[blob])
        store.verify(writer.publish())


def test_tokens_and_runs_and_caches_are_no_garbage(store: Store, publish: Any) -> None:
    publish()
    log_run(store, a_run())
    (store.root / "cache").mkdir()
    (store.root / "cache/x").write_text("x")
    assert store.collect() == [] and len(read_runs(store)) == 1


def train_file(store: Store, plan_id: str, age_s: float = 0.0) -> Path:
    path = store.root / f"train/{plan_id}/run/checkpoint/codec.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_what_a_training_run_kept_is_garbage_once_it_is_published_or_abandoned(store: Store, publish: Any) -> None:
    published = train_file(store, publish().plan_id)
    going_on = train_file(store, a_plan(other=1).plan_id)
    abandoned = train_file(store, a_plan(other=2).plan_id, ABANDONED_S + 60)
    assert store.collect() == sorted([str(published), str(abandoned)])
    store.collect(dry_run=False)
    assert [path.name for path in (store.root / "train").iterdir()] == [a_plan(other=1).plan_id] and going_on.exists()


def test_a_live_training_run_keeps_its_files_however_old(store: Store) -> None:
    plan = a_plan()
    train_file(store, plan.plan_id, ABANDONED_S + 60)
    with store.writer(plan, owner="test"):
        assert store.collect() == []
    assert len(store.collect()) == 1


def test_an_old_cache_is_garbage_while_no_run_is_alive(store: Store) -> None:
    path = store.root / "cache/listing.json"
    path.parent.mkdir(parents=True)
    path.write_text("[]")
    os.utime(path, (time.time() - ABANDONED_S - 60,) * 2)
    with store.writer(a_plan(), owner="test"):
        assert store.collect() == []
    assert store.collect(dry_run=False) == [str(path)] and not path.exists()
