import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from uniaudio_schemas.errors import StoreError, UsageError
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.query import scan
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.runs import log_run, read_runs
from uniaudio_schemas.testing import a_plan, a_run, example_rows


@pytest.fixture
def remote(tmp_path: Path) -> Store:
    """Files in memory behind `pyarrow.fs`, no folder of this machine."""
    return Store("mock:///bucket/store", cache=tmp_path / "cache")


def test_a_version_on_another_filesystem_reads_back_through_the_cache(
    remote: Store, publish: Any, tmp_path: Path
) -> None:
    manifest = publish(into=remote)
    assert [row for row in remote.rows(manifest, Raw)] == sorted(example_rows("raw", 6), key=lambda row: row.clip_id)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {shard.sha256 for shard in manifest.shards}
    assert scan(remote, "raw").collect().height == 6
    assert remote.head("raw") == manifest and not (tmp_path / "store").exists()


def test_the_rows_have_the_same_content_id_as_in_a_folder(remote: Store, store: Store, publish: Any) -> None:
    assert publish(into=remote).to_json() == publish(into=store).to_json()


def test_a_copy_with_other_bytes_is_refused(remote: Store, publish: Any) -> None:
    manifest = publish(into=remote)
    shard = manifest.shards[0]
    remote.files.write(f"raw/shards/{shard.sha256}.arrow", b"other")
    with pytest.raises(StoreError, match="the copy has other bytes than its name says"):
        remote.read(manifest)


def test_leases_blobs_runs_and_garbage_work_there_too(remote: Store) -> None:
    with remote.writer(a_plan(), owner="one") as writer:
        with pytest.raises(StoreError, match="is being made by 'one'"), remote.writer(a_plan(), owner="two"):
            pass
        blob = writer.put_blob(b"tar")
        writer.put_shard("queen-00000", [], blobs=[blob])
        writer.publish()
        writer.put_blob(b"orphan")
    log_run(remote, a_run())
    assert remote.open_blob(blob).read_bytes() == b"tar" and read_runs(remote) == [a_run()]
    assert len(remote.collect(dry_run=False)) == 1 and remote.collect() == []


def test_a_filesystem_without_conditional_put_says_that_it_needs_a_single_writer(
    remote: Store, publish: Any, caplog: pytest.LogCaptureFixture, store: Store
) -> None:
    with caplog.at_level(logging.WARNING):
        publish(into=remote)
    assert [record.message for record in caplog.records] == [
        "mock:///bucket/store has no conditional put: let one writer at a time work on one plan."
    ]
    assert store.files.exclusive_locks and not remote.files.exclusive_locks


def test_threads_of_one_process_are_kept_apart_there(remote: Store) -> None:
    inside: list[int] = []

    def work() -> None:
        for _ in range(20):
            with remote.files.lock("x", exclusive=True):
                inside.append(1)
                time.sleep(0.0005)
                assert len(inside) == 1
                inside.clear()

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work) for _ in range(4)]:
            future.result()


def test_an_unknown_address_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"`root` must be a folder or an address that pyarrow\.fs knows, but is foo://bar"
    ):
        Store("foo://bar")


def test_a_file_address_and_a_path_are_the_same_store(store: Store, publish: Any) -> None:
    manifest = publish()
    for same in (Store.from_uri(f"file://{store.root}"), Store.from_uri(str(store.root)), Store(str(store.root))):
        assert same.head("raw") == manifest and same.root == store.root


def test_a_folder_that_is_missing_reads_as_an_empty_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert (
        store.head("raw") is None and store.refs("raw") == {} and store.versions("raw") == [] and store.collect() == []
    )
    with pytest.raises(StoreError, match="is not there"):
        store.open_blob("0" * 64)
