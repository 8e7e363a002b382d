import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.files import TEMPORARY_PREFIX, disk_errors
from uniaudio_schemas.testing import a_plan, example_rows

PLAN = a_plan("tokens", units=("a", "b"))


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Writes beyond fail with EFBIG, as on a full disk with ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def leftovers(store: Store) -> list[Path]:
    return list(store.root.rglob(f"{TEMPORARY_PREFIX}*"))


def test_no_space_is_one_line_that_names_the_folder_and_leaves_no_temporary_file(store: Store) -> None:
    with store.writer(PLAN, owner="test") as writer:
        writer.put_shard("a", example_rows("tokens"))
        with largest_file(4096), pytest.raises(StoreError, match="no space left") as caught:
            writer.put_shard("b", example_rows("tokens", 100, first=1))
        with largest_file(4096), pytest.raises(StoreError, match="no space left"):
            writer.put_blob(bytes(10_000))
        message = str(caught.value)
        assert f"{store.root}/tokens/staging/{PLAN.plan_id}: " in message and "\n" not in message
        assert leftovers(store) == [] and writer.done() == {"a"}
        writer.put_shard("b", example_rows("tokens", 100, first=1))
        assert writer.publish().num_rows == 101


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Not a directory"), Store(tmp_path / "file/store").writer(PLAN, owner="test"):
        pass


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "x"), r"^/tmp/place: no space left \(No space left on device\)"),
        (OSError(errno.EFBIG, "x", "/tmp/file"), r"^/tmp/file: no space left"),
        (OSError(errno.EROFS, "Read-only file system", "/tmp/file"), r"^/tmp/file: Read-only file system\.$"),
    ],
)
def test_a_full_or_protected_disk_is_one_line_that_names_the_file(error: OSError, message: str) -> None:
    with pytest.raises(StoreError, match=message), disk_errors("/tmp/place"):
        raise error


def test_a_file_that_we_lost_ourselves_keeps_its_stack_trace(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        (tmp_path / "file").read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small filesystem")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_run_on_a_really_full_disk_goes_on_after_space_was_made(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    with (
        pytest.raises(StoreError, match=r"no space left \(No space left on device\)"),
        store.writer(PLAN, owner="one") as writer,
    ):
        writer.put_shard("a", example_rows("tokens", 50))
        (small_disk / "ballast").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096))
        writer.put_shard("b", example_rows("tokens", 50, first=50))
    assert leftovers(store) == [] and store.head("tokens") is None
    (small_disk / "ballast").unlink()
    with store.writer(PLAN, owner="one") as writer:
        assert writer.done() == {"a"}
        writer.put_shard("b", example_rows("tokens", 50, first=50))
        store.verify(writer.publish())
