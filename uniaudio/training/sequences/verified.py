"""Shards whose checksum was found right, so that no row of another is used; each file is read for it once a host.

Reads    <folder>/verified, one line a file: sha256, bytes, times of modification and of change, inode

A file that was written, moved or restored since has other numbers and is read again. A copy of an object store's shard is
verified by the cache that fetches it.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from uniaudio_schemas.errors import DataError, StoreError
from uniaudio_schemas.fingerprint import hash_file
from uniaudio_schemas.store.manifest import ShardInfo

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store
    from uniaudio_schemas.store.manifest import Manifest


class VerifiedShards:
    """The files of one version."""

    def __init__(self, store: "Store", manifest: "Manifest", folder: Path) -> None:
        """`folder`: of this host, or the store's own."""
        self._store, self._manifest = store, manifest
        self._record = folder / "verified"
        self._known: set[str] = set()
        self._is_fetched = isinstance(store.root, str)

    def check(self) -> None:
        """Check every file on this machine. `DataError` names the first that is wrong."""
        if self._is_fetched:
            return
        hashes = {shard.sha256 for shard in self._manifest.shards}
        self._known = {line for line in self._lines() if line[:64] in hashes}
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            for _ in threads.map(self.path, self._manifest.shards):
                pass

    def path(self, shard: ShardInfo) -> Path:
        """Path of a shard whose bytes are those in the manifest. `DataError` names a file with other bytes."""
        path = self._store.shard_path(self._manifest, shard)
        if self._is_fetched or _line(path, shard.sha256) in self._known:
            return path
        # Before the file is read: what is written meanwhile makes another line.
        line = _line(path, shard.sha256)
        sha256 = hash_file(path)
        if sha256 != shard.sha256:
            raise DataError(f"{path}: must have sha256 {shard.sha256}, but has {sha256}. No row of it is used.")
        self._known.add(line)
        self._note(line)
        return path

    def _lines(self) -> Iterator[str]:
        try:
            yield from self._record.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{self._record}: {error.strerror}.") from error

    def _note(self, line: str) -> None:
        # One write of a short line: lines of several processes do not mix.
        descriptor = os.open(self._record, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)


def _line(path: Path, sha256: str) -> str:
    stat = path.stat()
    return f"{sha256} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
