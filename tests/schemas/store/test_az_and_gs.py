"""A store on Azure's and on Google's interface: what `test_s3` asks of S3, as far as the three differ."""

import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyarrow import fs
from uniaudio_schemas.errors import DataError, StoreError
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.query import scan
from uniaudio_schemas.store import Dropped, Store, object_client, objects
from uniaudio_schemas.store.arrow_files import arrow_filesystem
from uniaudio_schemas.store.runs import log_run, read_runs
from uniaudio_schemas.testing import a_plan, a_run, example_rows

from tests.clouds import KEY, TOKEN, Cloud
from tests.s3 import Fault, Proxy
from tests.schemas.store.test_crash import worker
from tests.schemas.store.test_s3 import FAULTS, NUM_UNITS, check_whole, start

pytestmark = pytest.mark.slow


def test_the_version_is_that_of_a_folder_and_reads_back_through_the_cache(
    cloud_store: Store, store: Store, publish: Any, private_cache: Path
) -> None:
    manifest = publish(into=cloud_store)
    assert manifest.to_json() == publish(into=store).to_json()
    assert list(cloud_store.rows(manifest, Raw)) == list(store.rows(manifest, Raw))
    copies = {path.name for path in private_cache.iterdir() if not path.name.startswith(".")}
    assert copies == {shard.sha256 for shard in manifest.shards}


def test_polars_reads_the_shards_itself_with_the_same_credentials(
    cloud_store: Store, publish: Any, private_cache: Path
) -> None:
    publish(a_plan("tokens"), into=cloud_store)
    frame = scan(cloud_store, "tokens").select(pl.col("num_samples").sum()).collect()
    assert frame.item() == 3 * example_rows("tokens")[0].num_samples
    assert not list(private_cache.glob("[0-9a-f]*"))


def test_a_swap_of_what_is_gone_there_already_or_changed_is_refused(cloud_store: Store) -> None:
    files = cloud_store.files
    assert files.swap("x", b"1", None) and not files.swap("x", b"2", None)
    seen = files.read_seen("x")
    assert files.swap("x", b"3", seen) and not files.swap("x", b"4", seen) and files.read("x") == b"3"
    seen = files.read_seen("x")
    files.delete("x")
    assert not files.swap("x", b"5", seen) and files.read("x") is None


def test_only_one_of_many_swaps_of_one_state_wins(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the server itself: the proxy lets one PUT of an object through at a time."""
    for name, value in cloud.environment(cloud.port).items():
        monkeypatch.setenv(name, value)
    files = Store(cloud.a_uri()).files

    def count(name: int) -> int:
        won = 0
        while won < 10:
            seen = files.read_seen("x")
            before = int(seen.data.split()[0]) if seen else 0
            won += files.swap("x", f"{before + 1} {name}".encode(), seen)
        return won

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(count, range(6))) == 60
    assert (files.read("x") or b"").split()[0] == b"60"


def test_leases_blobs_runs_and_garbage_work_there_too(cloud_store: Store) -> None:
    with cloud_store.writer(a_plan(), owner="one") as writer:
        with pytest.raises(StoreError, match="is being made by 'one'"), cloud_store.writer(a_plan(), owner="two"):
            pass
        blob = writer.put_blob(b"tar")
        writer.put_shard("queen-00000", [], [Dropped(row_id="x", reason="empty")], blobs=[blob])
        cloud_store.verify(writer.publish())
        writer.put_blob(b"orphan")
        assert cloud_store.collect() == []
    log_run(cloud_store, a_run())
    assert cloud_store.open_blob(blob).read_bytes() == b"tar" and read_runs(cloud_store) == [a_run()]
    assert len(cloud_store.collect(dry_run=False)) == 1 and cloud_store.collect() == []


def test_all_are_deleted_though_some_are_gone(cloud_store: Store) -> None:
    """Azure's store takes 256 a request, Google's one, and both refuse what is gone."""
    files = cloud_store.files
    names = [f"many/{index:04d}" for index in range(300)]
    for _ in files.each(lambda name: files.write(name, b"x"), names):
        pass
    assert [entry.path for entry in files.entries("many")] == names
    files.delete_all(["many/gone", *names, "other/gone"])
    assert files.entries("many") == [] and files.folders() == []


@pytest.mark.timeout(600)
def test_kill_9_at_six_moments_of_a_run_loses_and_doubles_nothing(
    cloud: Cloud, cloud_proxy: Proxy, tmp_path: Path
) -> None:
    undisturbed = worker.make(tmp_path / "disk", "undisturbed", NUM_UNITS)
    before = cloud_proxy.num_requests
    assert worker.make(Store(cloud.a_uri()).root, "counted", NUM_UNITS).to_json() == undisturbed.to_json()
    num_requests, moments = cloud_proxy.num_requests - before, random.Random(0)
    for turn in range(6):
        store, left = Store(cloud.a_uri()), iter(range(moments.randrange(num_requests), -1, -1))
        process = start(store, "killed")

        def kill(
            method: str, path: str, left: Any = left, process: Any = process, after: bool = turn % 2 == 0
        ) -> Fault | None:
            if next(left, -1) == 0:
                process.kill()
                return None if after else Fault(status=500)
            return None

        cloud_proxy.fault = kill
        assert process.wait() == -signal.SIGKILL
        cloud_proxy.fault = lambda method, path: None
        process.communicate()
        assert worker.make(store.root, "next", NUM_UNITS).to_json() == undisturbed.to_json()
        check_whole(store, undisturbed)


def test_two_drivers_of_one_plan_publish_one_version_and_the_loser_says_so(cloud: Cloud, cloud_proxy: Proxy) -> None:
    for _ in range(2):
        store = Store(cloud.a_uri())
        both = [start(store, "same") for _ in range(2)]
        errors = [process.communicate()[1] for process in both]
        manifest = store.head("tokens")
        assert manifest is not None
        check_whole(store, manifest)
        assert [process.returncode for process in both].count(0) >= 1
        assert all("LeaseLostError" in text for process, text in zip(both, errors, strict=True) if process.returncode)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_server_that_fails_now_and_then_changes_nothing(
    kind: str, cloud: Cloud, cloud_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_client, "READ_TIMEOUT_S", 1)
    undisturbed = worker.make(tmp_path / "disk", "undisturbed", NUM_UNITS)
    dice, store = random.Random(1), Store(cloud.a_uri())
    cloud_proxy.fault = lambda method, path: FAULTS[kind](dice)
    assert worker.make(store.root, "one", NUM_UNITS).to_json() == undisturbed.to_json()
    check_whole(store, undisturbed)


def test_torn_answers_are_read_again(cloud_store: Store, cloud_proxy: Proxy) -> None:
    manifest = worker.make(cloud_store.root, "one", NUM_UNITS)
    dice = random.Random(2)
    # Torn listings are the client's to notice.
    cloud_proxy.fault = lambda method, path: Fault(torn=method == "GET" and "list" not in path and dice.random() < 0.3)
    assert cloud_store.head("tokens") == manifest and cloud_store.versions("tokens") == [manifest]
    check_whole(cloud_store, manifest)


def test_a_torn_lease_that_stays_torn_is_named(cloud_store: Store) -> None:
    with cloud_store.writer(a_plan(), owner="one") as writer:
        cloud_store.files.write(f"raw/leases/{writer.plan.plan_id}.json", b"{")
        with pytest.raises(DataError, match="raw/leases/"):
            writer.publish()


def test_a_server_that_is_gone_is_one_line_without_secrets(
    cloud: Cloud, cloud_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_client, "RETRY_S", 1)
    store = Store(cloud.a_uri())
    cloud_proxy.fault = lambda method, path: Fault(status=500)
    with pytest.raises(StoreError) as error:
        store.head("tokens")
    told = str(error.value)
    assert "\n" not in told and str(store.root) in told and KEY not in told and TOKEN not in told


def test_a_shard_costs_at_most_four_requests(cloud_store: Store, cloud_proxy: Proxy) -> None:
    plan = a_plan("tokens", units=tuple(f"u{index}" for index in range(10)))
    with cloud_store.writer(plan, owner="one") as writer:
        first = len(cloud_proxy.log)
        for index, unit in enumerate(plan.units):
            rows = example_rows("tokens", 2, first=2 * index)
            writer.put_shard(unit, rows, [Dropped(row_id=str(index), reason="too_short")])
        # The heart-beat's own requests follow the clock.
        leases = [line for line in cloud_proxy.log[first:] if "/leases/" in line or "%2Fleases%2F" in line]
        assert len(cloud_proxy.log) - first - len(leases) == 3 * len(plan.units)


def large(seed: int) -> bytes:
    return random.Random(seed).randbytes(2 * objects.PART_BYTES + 5)


def put(store: Store, data: bytes) -> None:
    with store.files.temporary("") as temporary:
        temporary.file.write(data)
        temporary.commit("x")


def test_large_files_go_up_in_parts(cloud_store: Store, cloud_proxy: Proxy) -> None:
    with cloud_store.writer(a_plan(), owner="one") as writer:
        blob = writer.put_blob(large(0))
        assert sum("partNumber=" in line or "comp=block&" in line for line in cloud_proxy.log) == 3
        before = len(cloud_proxy.log)
        assert writer.put_blob(large(0)) == blob
        assert not any("PUT" in line for line in cloud_proxy.log[before:])
    assert cloud_store.open_blob(blob).read_bytes() == large(0)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_parts_whose_answer_was_lost_as_they_were_put_together_are_there_whole(
    is_streamed: bool, cloud_store: Store, cloud_proxy: Proxy
) -> None:
    """The client asks again, and is told that there are no such parts."""
    lost = iter([Fault(status=503, after=True)])

    def lose(method: str, path: str) -> Fault | None:
        is_end = "comp=blocklist" in path or (method == "POST" and "uploadId=" in path)
        return next(lost, None) if is_end else None

    cloud_proxy.fault = lose
    if is_streamed:
        filesystem, base = arrow_filesystem(str(cloud_store.root))
        with filesystem.open_output_stream(f"{base}/x") as stream:
            stream.write(large(0))
    else:
        put(cloud_store, large(0))
    assert next(lost, None) is None and cloud_store.files.read("x") == large(0)


def test_an_upload_and_a_delete_whose_answers_are_late_are_asked_again(
    cloud: Cloud, cloud_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_client, "READ_TIMEOUT_S", 1)
    store, late = Store(cloud.a_uri()), iter([Fault(delay_s=1.5)])
    cloud_proxy.fault = lambda method, path: next(late, None)
    put(store, large(0))
    assert store.files.read("x") == large(0)
    late = iter([Fault(delay_s=1.5)])
    store.files.delete("x")
    assert next(late, None) is None and store.files.read("x") is None


def test_two_uploads_to_one_path_leave_one_of_both_whole(cloud_store: Store, cloud_proxy: Proxy) -> None:
    """Both have sent all their parts before the first one puts them together: Azure's store then drops the others."""
    together = threading.Barrier(2)
    ends = iter(range(2))

    def wait(method: str, path: str) -> None:
        if ("comp=blocklist" in path or (method == "POST" and "uploadId=" in path)) and next(ends, None) is not None:
            together.wait(60)

    cloud_proxy.fault = wait
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(put, cloud_store, large(seed)) for seed in range(2)]:
            done.result()
    assert cloud_store.files.read("x") in (large(0), large(1))


def test_what_writes_through_arrow_leaves_no_folders_behind(cloud_store: Store, tmp_path: Path) -> None:
    filesystem, base = arrow_filesystem(str(cloud_store.root))
    (tmp_path / "from" / "below").mkdir(parents=True)
    for name in ("x", "below/y"):
        (tmp_path / "from" / name).write_bytes(name.encode() * 1000)
    there, local = f"{base}/train/one/checkpoint", fs.LocalFileSystem()
    filesystem.create_dir(there, recursive=True)
    fs.copy_files(str(tmp_path / "from"), there, source_filesystem=local, destination_filesystem=filesystem)
    names = ["train/one/checkpoint/below/y", "train/one/checkpoint/x"]
    assert [entry.path for entry in cloud_store.files.entries("train")] == names
    (tmp_path / "to").mkdir()
    fs.copy_files(there, str(tmp_path / "to"), source_filesystem=filesystem, destination_filesystem=local)
    assert (tmp_path / "to/below/y").read_bytes() == b"below/y" * 1000
    filesystem.delete_dir(there)
    assert cloud_store.files.entries("train") == []
