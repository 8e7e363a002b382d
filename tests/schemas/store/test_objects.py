"""The protocol of object stores, on one in memory: conditional writes in place of locks (decision record 11)."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError
from uniaudio_schemas.errors import DataError, LeaseLostError, StoreError, UsageError
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.query import scan
from uniaudio_schemas.store import Dropped, Store, layout, lease, object_client, object_lock
from uniaudio_schemas.store.files import Seen
from uniaudio_schemas.store.lease import STORE_LOCK
from uniaudio_schemas.store.runs import log_run, read_runs
from uniaudio_schemas.testing import a_plan, a_run, example_rows

PLAN = a_plan(units=("a", "b"))


def listed(store: Store) -> set[str]:
    return {entry.path for folder in store.files.folders() for entry in store.files.entries(folder)}


def test_a_version_reads_back_through_the_cache(memory: Store, publish: Any, private_cache: Path) -> None:
    manifest = publish(into=memory)
    assert list(memory.rows(manifest, Raw)) == sorted(example_rows("raw", 6), key=lambda row: row.clip_id)
    copies = {path.name for path in private_cache.iterdir() if not path.name.startswith(".")}
    assert copies == {shard.sha256 for shard in manifest.shards}
    assert memory.head("raw") == manifest and Store(str(memory.root)).head("raw") == manifest
    assert scan(memory, "raw").collect().height == 6


def test_the_manifest_is_that_of_a_folder(memory: Store, store: Store, publish: Any) -> None:
    assert publish(into=memory).to_json() == publish(into=store).to_json()


def test_leases_blobs_runs_and_garbage_work_there_too(memory: Store) -> None:
    with memory.writer(a_plan(), owner="one") as writer:
        with pytest.raises(StoreError, match="is being made by 'one'"), memory.writer(a_plan(), owner="two"):
            pass
        blob = writer.put_blob(b"tar")
        writer.put_shard("queen-00000", [], [Dropped(row_id="x", reason="empty")], blobs=[blob])
        memory.verify(writer.publish())
        writer.put_blob(b"orphan")
        assert memory.collect() == []
    log_run(memory, a_run())
    assert memory.open_blob(blob).read_bytes() == b"tar" and read_runs(memory) == [a_run()]
    assert len(memory.collect(dry_run=False)) == 1 and memory.collect() == []


def test_only_one_of_many_swaps_of_one_state_wins(memory: Store) -> None:
    def count(name: int) -> int:
        won = 0
        while won < 20:
            seen = memory.files.read_seen("x")
            before = int(seen.data.split()[0]) if seen else 0
            won += memory.files.swap("x", f"{before + 1} {name}".encode(), seen)
        return won

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(count, range(4))) == 80
    assert (memory.files.read("x") or b"").split()[0] == b"80"


def test_a_swap_of_what_is_gone_or_there_already_is_refused(memory: Store) -> None:
    assert memory.files.swap("x", b"1", None) and not memory.files.swap("x", b"2", None)
    seen = memory.files.read_seen("x")
    memory.files.delete("x")
    assert not memory.files.swap("x", b"3", seen) and memory.files.read("x") is None


@pytest.mark.parametrize("told", [GenericError, AlreadyExistsError])
def test_a_swap_whose_answer_was_lost_is_known_to_have_happened(
    told: type[Exception], memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server did it; the client's own second try was refused, or it gave up."""
    real = obstore.put

    def put(*arguments: Any, **options: Any) -> Any:
        real(*arguments, **options)
        raise told("the answer was lost")

    monkeypatch.setattr(obstore, "put", put)
    assert memory.files.swap("x", b"ours", None) and memory.files.read("x") == b"ours"


def test_a_driver_that_was_taken_over_can_do_no_harm(memory: Store) -> None:
    zombie = memory.writer(PLAN, owner="job-1")
    zombie.__enter__()
    zombie.put_shard("a", example_rows("raw"))
    with memory.writer(PLAN, owner="job-1") as writer:
        assert writer.token == zombie.token + 1 and writer.done() == {"a"}
        for attempt in (lambda: zombie.put_shard("b", []), zombie.publish):
            with pytest.raises(LeaseLostError, match=r"took over \(token 2, ours is 1\)"):
                attempt()
        zombie.__exit__(None, None, None)
        writer.put_shard("b", example_rows("raw", first=1))
        memory.verify(writer.publish())
    assert not [path for path in listed(memory) if "/staging/" in path]


def test_a_finished_unit_stays_as_it_is_whoever_puts_it_again(memory: Store) -> None:
    with memory.writer(PLAN, owner="one") as writer:
        first = writer.put_shard("a", example_rows("raw"))
        assert writer.put_shard("a", example_rows("raw", 2)) == first


def paused(monkeypatch: pytest.MonkeyPatch, store: Store, path: str, then: Any) -> None:
    """`then` happens after everything that is written at `path` was decided, and before it is written."""
    real, done = store.files.swap, []

    def swap(name: str, data: bytes, seen: Seen | None) -> bool:
        if name == path and not done:
            done.append(name)
            then()
        return real(name, data, seen)

    monkeypatch.setattr(store.files, "swap", swap)


def test_a_ref_that_moved_while_the_driver_slept_is_not_moved_back(
    memory: Store, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = a_plan(newer=1)
    other = Store(str(memory.root))

    def overtaken() -> None:
        with other.writer(PLAN, owner="zombie"):
            pass
        publish(newer, into=other)

    paused(monkeypatch, memory, layout.ref_path("raw", "latest"), overtaken)
    with pytest.raises(LeaseLostError), memory.writer(PLAN, owner="zombie") as writer:
        for unit in PLAN.units:
            writer.put_shard(unit, [])
        writer.publish()
    head = other.head("raw")
    assert head is not None and head.plan_id == newer.plan_id


def test_a_ref_that_a_person_moved_meanwhile_is_moved_all_the_same(
    memory: Store, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, other = publish(a_plan(older=1), into=memory), Store(str(memory.root))
    publish(a_plan(newer=1), into=memory)
    paused(monkeypatch, memory, layout.ref_path("raw", "latest"), lambda: other.point("raw", "latest", older))
    assert publish(PLAN, into=memory) == memory.head("raw")


def test_what_another_publishes_and_clears_while_we_publish_is_taken_as_it_is(
    memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store(str(memory.root))
    with memory.writer(PLAN, owner="one") as writer:
        for unit in PLAN.units:
            writer.put_shard(unit, [])
        real = writer._manifest

        def late() -> Any:
            monkeypatch.setattr(writer, "_manifest", real)
            twin = other.writer(PLAN, owner="one")
            twin.token = writer.token
            twin.publish()
            return real()

        monkeypatch.setattr(writer, "_manifest", late)
        assert writer.publish() == memory.head("raw")


def test_collect_that_ran_unseen_while_a_driver_slept_costs_a_unit_and_no_head(
    memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver was taken for dead while it published: what it is about to name goes."""
    other = Store(str(memory.root))

    def lost() -> None:
        shard = next(path for path in listed(other) if path.startswith("raw/shards/"))
        with other.files.lock(STORE_LOCK, exclusive=True):
            other.files.delete(shard)

    with memory.writer(PLAN, owner="one") as writer:
        for index, unit in enumerate(PLAN.units):
            writer.put_shard(unit, example_rows("raw", first=index))
        paused(monkeypatch, memory, layout.version_path("raw", PLAN.plan_id), lost)
        with pytest.raises(StoreError, match=r"it is gone, and so are 0 others\. Run again"):
            writer.publish()
        assert memory.head("raw") is None and memory.versions("raw") == [] and len(writer.done()) == 1
        for index, unit in enumerate(PLAN.units):
            writer.put_shard(unit, example_rows("raw", first=index))
        memory.verify(writer.publish())


def test_a_run_that_begins_while_collect_works_waits_for_its_end(memory: Store) -> None:
    begun = threading.Event()

    def run() -> None:
        with memory.writer(PLAN, owner="one"):
            begun.set()

    thread = threading.Thread(target=run)
    with memory.files.lock(STORE_LOCK, exclusive=True):
        thread.start()
        assert not begun.wait(0.5)
    assert begun.wait(5)
    thread.join()


def test_a_shared_lock_holds_off_an_exclusive_one_and_not_another_shared_one(
    memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_lock, "LOCK_TIMEOUT_S", 0.3)
    lock, held = memory.files.lock, pytest.raises(StoreError, match="somebody has held this lock")
    with lock("x", exclusive=False), lock("x", exclusive=False), held, lock("x", exclusive=True):
        pass
    with lock("x", exclusive=True):
        with pytest.raises(StoreError, match="somebody has held"), lock("x", exclusive=False):
            pass
        with pytest.raises(StoreError, match="somebody has held"):
            memory.files.epoch("x")
    assert memory.files.epoch("x") == 1


def test_under_a_lock_that_ran_out_nothing_is_written_or_deleted(
    memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.files.write("kept", b"1")
    monkeypatch.setattr(object_lock, "LOCK_S", object_lock.MARGIN_S - 1)
    with memory.files.lock("x", exclusive=True):
        for attempt in (
            lambda: memory.files.delete("kept"),
            lambda: memory.files.write("kept", b"2"),
            lambda: memory.files.swap("new", b"2", None),
        ):
            with pytest.raises(StoreError, match="could not be renewed, so nothing more is written"):
                attempt()
    assert memory.files.read("kept") == b"1" and memory.files.read("new") is None


def test_a_holder_elsewhere_that_stays_silent_is_taken_for_dead_whatever_its_clock_says(
    memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_lock, "LOCK_S", 0.5)
    ahead = object_lock.Holder(exclusive=True, expires_at=time.time() + 1e6, process="elsewhere:1:2:3")
    memory.files.write("x", object_lock.LockState(epoch=3, holders={"a": ahead}).to_bytes())
    started = time.monotonic()
    assert memory.files.epoch("x") == 3 and time.monotonic() - started > 0.4


def test_a_clock_that_is_ahead_takes_no_live_lease(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "process_lives", lambda identity: None)
    with memory.writer(PLAN, owner="one", lease_s=1.0):
        real = time.time
        monkeypatch.setattr(lease.time, "time", lambda: real() + 35)
        with pytest.raises(StoreError, match="is being made by 'one'"), memory.writer(PLAN, owner="two", lease_s=1.0):
            pass


def test_a_torn_lease_does_not_end_the_heart_beat(memory: Store) -> None:
    path = f"raw/leases/{PLAN.plan_id}.json"
    with memory.writer(PLAN, owner="one", lease_s=0.6) as writer:
        whole = memory.files.read(path)
        assert whole is not None
        memory.files.write(path, whole[: len(whole) // 2])
        with pytest.raises(DataError, match=path):
            lease.read_lease(memory.files, "raw", PLAN.plan_id)
        time.sleep(0.5)
        memory.files.write(path, whole)
        time.sleep(1.2)
        found = lease.read_lease(memory.files, "raw", PLAN.plan_id)
        assert found is not None and found.token == writer.token and memory.files.read(path) != whole


def test_a_unit_that_names_a_blob_that_is_not_there_is_refused(memory: Store) -> None:
    with memory.writer(PLAN, owner="one") as writer, pytest.raises(StoreError, match="it is not there; put it first"):
        writer.put_shard("a", [], blobs=["0" * 64])


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("s3://key:secret@bucket/prefix", "without credentials and options"),
        ("s3://bucket/prefix?secret_access_key=secret", "without credentials and options"),
        ("foo://key:secret@bar", "begins with foo://"),
        ("s3://", "must be s3://bucket/prefix"),
        ("s3://bucket/../other", "must be s3://bucket/prefix"),
    ],
)
def test_an_address_with_credentials_or_of_no_store_is_refused_without_repeating_a_secret(uri: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        Store(uri)
    assert "secret" not in str(error.value)


def test_without_its_package_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(UsageError, match=r"pip install 'uniaudio\[objects\]'"):
        Store("s3://bucket/prefix")


def test_http_is_for_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    for address, is_allowed in (
        ("http://127.0.0.1:9000", True),
        ("http://localhost:9000", True),
        ("http://minio:9000", False),
        ("http://10.0.0.1:9000", False),
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        assert object_client.allows_http("s3") is is_allowed
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert object_client.allows_http("s3")
    for scheme, name in (("az", "AZURE_STORAGE_ENDPOINT"), ("gs", "GOOGLE_BASE_URL")):
        assert not object_client.allows_http(scheme)
        monkeypatch.setenv(name, "http://127.0.0.1:9000/account")
        assert object_client.allows_http(scheme)


def test_a_path_out_of_the_store_is_refused(memory: Store) -> None:
    for attempt in (
        lambda: memory.files.write("../x", b""),
        lambda: memory.files.read("raw/../../x"),
        lambda: memory.files.delete("a/../../x"),
        lambda: memory.files.swap("../x", b"", None),
    ):
        with pytest.raises(StoreError, match="leaves the store"):
            attempt()


def test_garbage_of_trainings_is_found_there_too(memory: Store) -> None:
    for path in ("train/x/run/snapshot.json", "train/x/progress.json"):
        memory.files.write(path, b"{}")
    with memory.writer(a_plan(), owner="one") as writer:
        memory.files.write(f"train/{writer.plan.plan_id}/progress.json", b"{}")
        writer.put_shard("queen-00000", [])
        writer.publish()
    assert memory.collect() == [f"{memory.root}/train/{writer.plan.plan_id}/progress.json"]


def test_a_copy_goes_with_what_it_is_a_copy_of(memory: Store, publish: Any, private_cache: Path) -> None:
    manifest = publish(into=memory)
    copies = [memory.shard_path(manifest, shard) for shard in manifest.shards]
    memory.files.delete_all([f"raw/shards/{manifest.shards[0].sha256}.arrow", "raw/refs/latest.json"])
    assert not copies[0].exists() and copies[1].exists()


def test_a_file_address_and_a_path_are_the_same_store(store: Store, publish: Any) -> None:
    manifest = publish()
    for same in (Store.from_uri(f"file://{store.root}"), Store.from_uri(str(store.root)), Store(str(store.root))):
        assert same.head("raw") == manifest and same.root == store.root


def test_what_is_missing_reads_as_an_empty_store(tmp_path: Path, memory: Store) -> None:
    for store in (Store(tmp_path / "none"), memory):
        assert store.head("raw") is None and store.refs("raw") == {} and store.versions("raw") == []
        assert store.collect() == []
        with pytest.raises(StoreError, match="is not there"):
            store.open_blob("0" * 64)
