"""A store on the interfaces of S3, Azure and Google: kills, races, faults of the network, requests counted; each at a server of its own."""

import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyarrow import fs
from uniaudio_schemas.errors import DataError, StoreError, UniaudioError, UsageError
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.query import scan
from uniaudio_schemas.store import Dropped, Store, object_client
from uniaudio_schemas.store.arrow_files import arrow_filesystem
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.store.runs import log_run, read_runs
from uniaudio_schemas.testing import a_plan, a_run, example_rows

from tests.clouds import KEY, TOKEN, Cloud
from tests.s3 import Fault, Proxy
from tests.schemas.store.test_crash import worker

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("worker.py")
NUM_UNITS = 12
NUM_KILLS = {"s3": 20, "az": 6, "gs": 6}
FAULTS: dict[str, Callable[[random.Random], Fault | None]] = {
    "refused": lambda dice: Fault(status=500) if dice.random() < 0.2 else None,
    "done and the answer lost": lambda dice: Fault(status=503, after=True) if dice.random() < 0.2 else None,
    "slow": lambda dice: Fault(delay_s=1.5) if dice.random() < 0.05 else None,
}


def start(store: Store, owner: str) -> subprocess.Popen[str]:
    """A driver in a process of its own, that is about to begin."""
    command = [sys.executable, str(WORKER), str(store.root), owner]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def check_whole(store: Store, manifest: Manifest) -> None:
    assert store.head("tokens") == manifest
    store.verify(manifest)
    rows = [row.clip_id for row in store.rows(manifest, Tokens)]
    assert len(rows) == len(set(rows)) == worker.ROWS * NUM_UNITS
    left = {entry.path for folder in store.files.folders() for entry in store.files.entries(folder)}
    assert not [path for path in left if "/staging/" in path]


def test_the_version_is_that_of_a_folder_and_reads_back_through_the_cache(
    remote: Store, store: Store, publish: Any, private_cache: Path
) -> None:
    manifest = publish(into=remote)
    assert manifest.to_json() == publish(into=store).to_json()
    assert list(remote.rows(manifest, Raw)) == list(store.rows(manifest, Raw))
    copies = {path.name for path in private_cache.iterdir() if not path.name.startswith(".")}
    assert copies == {shard.sha256 for shard in manifest.shards}


def test_polars_reads_the_shards_itself_with_the_same_credentials(
    remote: Store, publish: Any, private_cache: Path
) -> None:
    publish(a_plan("tokens"), into=remote)
    frame = scan(remote, "tokens").select(pl.col("num_samples").sum()).collect()
    assert frame.item() == 3 * example_rows("tokens")[0].num_samples
    assert not list(private_cache.glob("[0-9a-f]*"))


def test_a_swap_of_what_is_gone_there_already_or_changed_is_refused(remote: Store) -> None:
    files = remote.files
    assert files.swap("x", b"1", None) and not files.swap("x", b"2", None)
    seen = files.read_seen("x")
    assert files.swap("x", b"3", seen) and not files.swap("x", b"4", seen) and files.read("x") == b"3"
    seen = files.read_seen("x")
    files.delete("x")
    assert not files.swap("x", b"5", seen) and files.read("x") is None


def test_only_one_of_many_swaps_of_one_state_wins(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the server itself: the proxy lets one PUT of an object through at a time."""
    if cloud.scheme == "s3":
        pytest.skip("moto looks at a condition and writes in two steps")
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


def test_leases_blobs_runs_and_garbage_work_there_too(remote: Store) -> None:
    with remote.writer(a_plan(), owner="one") as writer:
        with pytest.raises(StoreError, match="is being made by 'one'"), remote.writer(a_plan(), owner="two"):
            pass
        blob = writer.put_blob(b"tar")
        writer.put_shard("queen-00000", [], [Dropped(row_id="x", reason="empty")], blobs=[blob])
        remote.verify(writer.publish())
        writer.put_blob(b"orphan")
        assert remote.collect() == []
    log_run(remote, a_run())
    assert remote.open_blob(blob).read_bytes() == b"tar" and read_runs(remote) == [a_run()]
    assert len(remote.collect(dry_run=False)) == 1 and remote.collect() == []


def test_all_are_deleted_though_some_are_gone(remote: Store) -> None:
    """Azure's store takes 256 a request, Google's one, and both refuse what is gone."""
    files = remote.files
    names = [f"many/{index:04d}" for index in range(300)]
    for _ in files.each(lambda name: files.write(name, b"x"), names):
        pass
    assert [entry.path for entry in files.entries("many")] == names
    files.delete_all(["many/gone", *names, "other/gone"])
    assert files.entries("many") == [] and files.folders() == []


@pytest.mark.timeout(600)
def test_kill_9_at_random_moments_of_a_run_loses_and_doubles_nothing(
    cloud: Cloud, proxy: Proxy, tmp_path: Path
) -> None:
    """At a request, before or after the server did it."""
    undisturbed = worker.make(tmp_path / "disk", "undisturbed", NUM_UNITS)
    before = proxy.num_requests
    assert worker.make(Store(cloud.a_uri()).root, "counted", NUM_UNITS).to_json() == undisturbed.to_json()
    num_requests, moments = proxy.num_requests - before, random.Random(0)
    for turn in range(NUM_KILLS[cloud.scheme]):
        store, left = Store(cloud.a_uri()), iter(range(moments.randrange(num_requests), -1, -1))
        process = start(store, "killed")

        def kill(
            method: str, path: str, left: Any = left, process: Any = process, after: bool = turn % 2 == 0
        ) -> Fault | None:
            if next(left, -1) == 0:
                process.kill()
                return None if after else Fault(status=500)
            return None

        proxy.fault = kill
        assert process.wait() == -signal.SIGKILL
        proxy.fault = lambda method, path: None
        process.communicate()
        assert worker.make(store.root, "next", NUM_UNITS).to_json() == undisturbed.to_json()
        check_whole(store, undisturbed)


def test_two_drivers_of_one_plan_publish_one_version_and_the_loser_says_so(cloud: Cloud, proxy: Proxy) -> None:
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
    kind: str, cloud: Cloud, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_client, "READ_TIMEOUT_S", 1)
    undisturbed = worker.make(tmp_path / "disk", "undisturbed", NUM_UNITS)
    dice, store = random.Random(1), Store(cloud.a_uri())
    proxy.fault = lambda method, path: FAULTS[kind](dice)
    assert worker.make(store.root, "one", NUM_UNITS).to_json() == undisturbed.to_json()
    check_whole(store, undisturbed)


def test_torn_answers_are_read_again(remote: Store, proxy: Proxy) -> None:
    manifest = worker.make(remote.root, "one", NUM_UNITS)
    dice = random.Random(2)
    # Torn listings are the client's to notice.
    proxy.fault = lambda method, path: Fault(torn=method == "GET" and "list" not in path and dice.random() < 0.3)
    assert remote.head("tokens") == manifest and remote.versions("tokens") == [manifest]
    check_whole(remote, manifest)


def test_a_torn_lease_that_stays_torn_is_named(remote: Store) -> None:
    with remote.writer(a_plan(), owner="one") as writer:
        remote.files.write(f"raw/leases/{writer.plan.plan_id}.json", b"{")
        with pytest.raises(DataError, match="raw/leases/"):
            writer.publish()


def test_a_server_that_is_gone_is_one_line_without_secrets(
    cloud: Cloud, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_client, "RETRY_S", 1)
    store = Store(cloud.a_uri())
    proxy.fault = lambda method, path: Fault(status=500)
    with pytest.raises(StoreError) as error:
        store.head("tokens")
    told = str(error.value)
    assert "\n" not in told and str(store.root) in told and KEY not in told and TOKEN not in told


def test_a_shard_costs_at_most_four_requests(remote: Store, proxy: Proxy) -> None:
    plan = a_plan("tokens", units=tuple(f"u{index}" for index in range(10)))
    with remote.writer(plan, owner="one") as writer:
        first = len(proxy.log)
        for index, unit in enumerate(plan.units):
            rows = example_rows("tokens", 2, first=2 * index)
            writer.put_shard(unit, rows, [Dropped(row_id=str(index), reason="too_short")])
        # The heart-beat's own requests follow the clock.
        leases = [line for line in proxy.log[first:] if "/leases/" in line or "%2Fleases%2F" in line]
        assert len(proxy.log) - first - len(leases) == 3 * len(plan.units)
        assert len([line for line in leases if line.startswith("GET")]) <= len(plan.units) + 10
        before = len(proxy.log)
        writer.publish()
        # Read each unit, and what does not depend on their number; Google's store deletes one by one.
        assert len([line for line in proxy.log[before:] if not line.startswith("DELETE")]) < len(plan.units) + 20
    assert not [line for line in proxy.log if line.split("?")[0].endswith("/")]


def test_what_writes_through_arrow_leaves_no_folders_behind(remote: Store, tmp_path: Path) -> None:
    filesystem, base = arrow_filesystem(str(remote.root))
    filesystem = pickle.loads(pickle.dumps(filesystem))  # noqa: S301
    (tmp_path / "from" / "below").mkdir(parents=True)
    for name in ("x", "below/y"):
        (tmp_path / "from" / name).write_bytes(name.encode() * 1000)
    there = f"{base}/train/one/checkpoint"
    filesystem.create_dir(there, recursive=True)
    local = fs.LocalFileSystem()
    fs.copy_files(str(tmp_path / "from"), there, source_filesystem=local, destination_filesystem=filesystem)
    with filesystem.open_output_stream(f"{there}.json") as stream:
        stream.write(b"{}")
    names = ["train/one/checkpoint.json", "train/one/checkpoint/below/y", "train/one/checkpoint/x"]
    assert [entry.path for entry in remote.files.entries("train")] == names
    (tmp_path / "to").mkdir()
    fs.copy_files(there, str(tmp_path / "to"), source_filesystem=filesystem, destination_filesystem=local)
    assert (tmp_path / "to/below/y").read_bytes() == b"below/y" * 1000
    filesystem.delete_dir(there)
    assert [entry.path for entry in remote.files.entries("train")] == names[:1]
    with pytest.raises(UsageError, match="that other processes see"):
        arrow_filesystem("memory://x")


def test_garbage_collected_all_the_time_takes_nothing_from_runs(remote: Store) -> None:
    """Runs make, again and again, what the version before them left as garbage."""
    plans = [a_plan("tokens", units=("a", "b"), turn=turn) for turn in range(6)]
    stop, failures = threading.Event(), list[Exception]()

    def collect() -> None:
        # In the pauses others get the lock.
        while not stop.wait(0.3):
            try:
                Store(str(remote.root)).collect(dry_run=False)
            except UniaudioError as error:
                failures.append(error)

    thread = threading.Thread(target=collect)
    thread.start()
    for plan in plans:
        remote.unpoint("tokens", "latest")
        with remote.writer(plan, owner="one") as writer:
            for index, unit in enumerate(plan.units):
                writer.put_shard(unit, example_rows("tokens", 2, first=2 * index))
            manifest = writer.publish()
        assert remote.head("tokens") == manifest
        remote.verify(manifest)
    stop.set()
    thread.join()
    assert not failures


def test_a_shard_with_other_bytes_is_refused_whatever_comes(remote: Store, publish: Any) -> None:
    manifest = publish(into=remote)
    remote.files.write(f"raw/shards/{manifest.shards[0].sha256}.arrow", b"other")
    with pytest.raises(StoreError, match="the copy has other bytes than its name says"):
        remote.read(manifest)
