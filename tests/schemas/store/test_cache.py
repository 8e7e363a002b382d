"""The local copies of an object store's files."""

import mmap
import os
import time
from pathlib import Path
from typing import BinaryIO

import pytest
from uniaudio_schemas.errors import StoreError, UsageError
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.store import cache as module
from uniaudio_schemas.store.cache import Cache, private_folder


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def fetched(cache: Cache, data: bytes) -> Path:
    return cache.get(hash_bytes(data), len(data), lambda file: file.write(data) and None)


def unwanted(file: BinaryIO) -> None:
    raise AssertionError("is there already")


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    path = fetched(Cache(tmp_path / "a"), b"x" * 10)
    assert Cache(tmp_path / "a").get(hash_bytes(b"x" * 10), 10, unwanted) == path and path.read_bytes() == b"x" * 10


def test_a_copy_of_another_length_is_fetched_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "a")
    fetched(cache, b"x" * 10).write_bytes(b"torn")
    assert fetched(cache, b"x" * 10).read_bytes() == b"x" * 10


def test_other_bytes_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "a")
    for num_bytes in (5, None):
        with pytest.raises(StoreError, match="other bytes than its name says"):
            cache.get("0" * 64, num_bytes, lambda file: file.write(b"other") and None)
    assert kept(cache.folder) == set()


def test_those_wanted_longest_ago_go_first_and_a_mapped_one_stays_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO_CACHE_BYTES", "250")
    cache = Cache(tmp_path / "a")
    paths = [fetched(cache, bytes([index]) * 100) for index in range(2)]
    for age, path in zip((900, 800), paths, strict=True):
        os.utime(path, (time.time() - age,) * 2)
    with paths[1].open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert cache.get(paths[0].name, 100, unwanted) == paths[0]
    new = fetched(cache, bytes([2]) * 100)
    assert kept(cache.folder) == {paths[0].name, new.name} and mapped[:] == bytes([1]) * 100
    mapped.close()


def test_what_was_wanted_just_now_is_kept_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAUDIO_CACHE_BYTES", "1")
    cache = Cache(tmp_path / "a")
    fetched(cache, b"a"), fetched(cache, b"b")
    assert len(kept(cache.folder)) == 2


def test_a_limit_that_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAUDIO_CACHE_BYTES", "5 GB")
    with pytest.raises(UsageError, match="`UNIAUDIO_CACHE_BYTES` must be a number of bytes, but is '5 GB'"):
        Cache(tmp_path / "a")


def test_only_this_user_can_write_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o777)
    (tmp_path / "a").chmod(0o777)
    assert private_folder(tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_a_planted_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="must be a folder of this user"):
        private_folder(tmp_path / "link")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StoreError, match="others can write there"):
        private_folder(tmp_path / "open" / "a")
    monkeypatch.setattr(module.os, "getuid", lambda: 12345)
    with pytest.raises(StoreError, match="must be a folder of this user"):
        private_folder(tmp_path / "elsewhere")
