"""A store on an S3 server: kills, races, faults of the network, requests counted."""

import datetime
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyarrow import fs
from uniaudio_schemas.errors import DataError, StoreError, UniaudioError, UsageError
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.query import scan
from uniaudio_schemas.store import Dropped, Store, object_client, objects, s3_uploads
from uniaudio_schemas.store.arrow_files import arrow_filesystem
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.testing import a_plan, example_rows

from tests.s3 import Fault, Proxy, a_uri
from tests.schemas.store.test_crash import worker

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("worker.py")
NUM_UNITS = 12


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


@pytest.mark.timeout(600)
def test_kill_9_at_twenty_moments_of_a_run_loses_and_doubles_nothing(proxy: Proxy, tmp_path: Path) -> None:
    """At a random request each time, before or after the server did it."""
    undisturbed = worker.make(tmp_path / "disk", "undisturbed", NUM_UNITS)
    before = proxy.num_requests
    assert worker.make(Store(a_uri()).root, "counted", NUM_UNITS).to_json() == undisturbed.to_json()
    num_requests, moments = proxy.num_requests - before, random.Random(0)
    for _ in range(20):
        store, at, after = Store(a_uri()), moments.randrange(num_requests), moments.random() < 0.5
        process = start(store, "killed")
        left = iter(range(at, -1, -1))

        def kill(method: str, path: str, left: Any = left, process: Any = process, after: bool = after) -> Fault | None:
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


def test_two_drivers_of_one_plan_publish_one_version_and_the_loser_says_so(proxy: Proxy) -> None:
    for _ in range(4):
        store = Store(a_uri())
        both = [start(store, "same") for _ in range(2)]
        errors = [process.communicate()[1] for process in both]
        manifest = store.head("tokens")
        assert manifest is not None
        check_whole(store, manifest)
        assert [process.returncode for process in both].count(0) >= 1
        assert all("LeaseLostError" in text for process, text in zip(both, errors, strict=True) if process.returncode)


def test_garbage_collected_all_the_time_takes_nothing_from_runs(s3: Store, proxy: Proxy) -> None:
    """Runs make, again and again, what the version before them left as garbage."""
    plans = [a_plan("tokens", units=("a", "b"), turn=turn) for turn in range(6)]
    stop, failures = threading.Event(), list[Exception]()

    def collect() -> None:
        # In the pauses others get the lock.
        while not stop.wait(0.3):
            try:
                Store(str(s3.root)).collect(dry_run=False)
            except UniaudioError as error:
                failures.append(error)

    thread = threading.Thread(target=collect)
    thread.start()
    for plan in plans:
        s3.unpoint("tokens", "latest")
        with s3.writer(plan, owner="one") as writer:
            for index, unit in enumerate(plan.units):
                writer.put_shard(unit, example_rows("tokens", 2, first=2 * index))
            manifest = writer.publish()
        assert s3.head("tokens") == manifest
        s3.verify(manifest)
    stop.set()
    thread.join()
    assert not failures


FAULTS: dict[str, Callable[[random.Random], Fault | None]] = {
    "refused": lambda dice: Fault(status=500) if dice.random() < 0.2 else None,
    "done and the answer lost": lambda dice: Fault(status=503, after=True) if dice.random() < 0.2 else None,
    "slow": lambda dice: Fault(delay_s=1.5) if dice.random() < 0.05 else None,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_server_that_fails_now_and_then_changes_nothing(
    kind: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_client, "READ_TIMEOUT_S", 1)
    undisturbed = worker.make(tmp_path / "disk", "undisturbed", NUM_UNITS)
    dice, store = random.Random(1), Store(a_uri())
    proxy.fault = lambda method, path: FAULTS[kind](dice)
    assert worker.make(store.root, "one", NUM_UNITS).to_json() == undisturbed.to_json()
    check_whole(store, undisturbed)


def test_a_delete_whose_answer_is_late_is_asked_again(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_client, "READ_TIMEOUT_S", 1)
    files, late = Store(a_uri()).files, iter([Fault(delay_s=1.5)])
    files.write("x", b"x")
    proxy.fault = lambda method, path: next(late, None)
    files.delete("x")
    assert next(late, None) is None and files.read("x") is None


def test_torn_answers_are_read_again(s3: Store, proxy: Proxy) -> None:
    manifest = worker.make(s3.root, "one", NUM_UNITS)
    dice = random.Random(2)
    proxy.fault = lambda method, path: Fault(torn=method == "GET" and "list-type" not in path and dice.random() < 0.3)
    for kind in ("tokens",):
        assert s3.head(kind) == manifest and s3.versions(kind) == [manifest]
    check_whole(s3, manifest)


def test_a_shard_with_other_bytes_is_refused_whatever_comes(s3: Store, publish: Any) -> None:
    manifest = publish(into=s3)
    s3.files.write(f"raw/shards/{manifest.shards[0].sha256}.arrow", b"other")
    with pytest.raises(StoreError, match="the copy has other bytes than its name says"):
        s3.read(manifest)


def test_a_torn_lease_that_stays_torn_is_named(s3: Store) -> None:
    with s3.writer(a_plan(), owner="one") as writer:
        s3.files.write(f"raw/leases/{writer.plan.plan_id}.json", b"{")
        with pytest.raises(DataError, match="raw/leases/"):
            writer.publish()


def test_a_server_that_is_gone_is_one_line(monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> None:
    monkeypatch.setattr(object_client, "RETRY_S", 1)
    store = Store(a_uri())
    proxy.fault = lambda method, path: Fault(status=500)
    with pytest.raises(StoreError) as error:
        store.head("tokens")
    assert "\n" not in str(error.value) and "secret" not in str(error.value) and str(store.root) in str(error.value)


def test_a_shard_costs_at_most_four_requests(s3: Store, proxy: Proxy) -> None:
    plan = a_plan("tokens", units=tuple(f"u{index}" for index in range(10)))
    with s3.writer(plan, owner="one") as writer:
        first = len(proxy.log)
        for index, unit in enumerate(plan.units):
            rows = example_rows("tokens", 2, first=2 * index)
            writer.put_shard(unit, rows, [Dropped(row_id=str(index), reason="too_short")])
        # The heart-beat's own requests follow the clock.
        leases = [line for line in proxy.log[first:] if "/leases/" in line]
        assert len(proxy.log) - first - len(leases) == 3 * len(plan.units)
        assert len([line for line in leases if line.startswith("GET")]) <= len(plan.units) + 10
        before = proxy.num_requests
        writer.publish()
        # Read each unit, and what does not depend on their number.
        assert proxy.num_requests - before < len(plan.units) + 20
    assert not [line for line in proxy.log if line.split("?")[0].endswith("/")]


def test_polars_reads_the_shards_itself_with_the_same_credentials(s3: Store, publish: Any, private_cache: Path) -> None:
    publish(a_plan("tokens"), into=s3)
    frame = scan(s3, "tokens").select(pl.col("num_samples").sum()).collect()
    assert frame.item() == 3 * example_rows("tokens")[0].num_samples
    assert not list(private_cache.glob("[0-9a-f]*"))


def test_what_writes_through_arrow_leaves_no_folders_behind(s3: Store, tmp_path: Path) -> None:
    filesystem, base = arrow_filesystem(str(s3.root))
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
    assert [entry.path for entry in s3.files.entries("train")] == names
    (tmp_path / "to").mkdir()
    fs.copy_files(there, str(tmp_path / "to"), source_filesystem=filesystem, destination_filesystem=local)
    assert (tmp_path / "to/below/y").read_bytes() == b"below/y" * 1000
    filesystem.delete_dir(there)
    assert [entry.path for entry in s3.files.entries("train")] == names[:1]
    with pytest.raises(UsageError, match="that other processes see"):
        arrow_filesystem("memory://x")


def test_large_files_go_up_in_parts(s3: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(0).randbytes(2 * objects.PART_BYTES + 5)
    with s3.writer(a_plan(), owner="one") as writer:
        blob = writer.put_blob(data)
        assert sum("partNumber" in line for line in proxy.log) == 3
        before = len(proxy.log)
        assert writer.put_blob(data) == blob
        assert not any("PUT" in line for line in proxy.log[before:])
    assert s3.open_blob(blob).read_bytes() == data


def test_an_upload_that_was_killed_is_garbage_once_nobody_is_at_work(s3: Store, proxy: Proxy) -> None:
    code = (
        "import obstore, os, sys, threading; from uniaudio_schemas.store import Store;"
        "files = Store(sys.argv[1]).files; writer = obstore.open_writer(files._store, 'blobs/aa/x', buffer_size=6 * 2**20);"
        "writer.write(bytes(7 * 2**20)); writer.write(bytes(7 * 2**20)); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(s3.root)], check=False)
    assert s3.files.unfinished_uploads(0.0) == []
    with s3.writer(a_plan(), owner="one"):
        assert s3.collect() == []
    (name,) = s3.collect(dry_run=False)
    assert name.startswith("unfinished upload blobs/aa/x upload ")
    assert s3.collect() == []


def test_requests_are_signed_as_the_vendors_own_client_signs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    url = "https://host:9/bucket/a%20b"
    now = datetime.datetime.now(datetime.UTC)
    ours = s3_uploads.signed("DELETE", "host:9", "/bucket/a%20b", "uploadId=x%2Fy", "eu-west-1", now)
    theirs = AWSRequest("DELETE", f"{url}?uploadId=x%2Fy")
    signer = S3SigV4Auth(Credentials("key", "secret", "token"), "s3", "eu-west-1")
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None), raising=False)
    signer.add_auth(theirs)
    assert ours["Authorization"].rpartition("=")[2] == theirs.headers["Authorization"].rpartition("=")[2]
