"""Copies of an object store's files on this machine: verified, bounded, in a folder that only this user can write.

    ~/.cache/uniaudio/store/<sha256>     or below $UNIAUDIO_CACHE; at most $UNIAUDIO_CACHE_BYTES (50 GiB, a quarter of the disk)

The one that was wanted longest ago goes first. A file that somebody has mapped stays valid for them after it is unlinked.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from uniaudio_schemas.errors import StoreError, UsageError
from uniaudio_schemas.fingerprint import hash_file
from uniaudio_schemas.settings_file import setting
from uniaudio_schemas.store.disk import make_folder
from uniaudio_schemas.store.files import TEMPORARY_PREFIX, one_line_errors

DEFAULT_BYTES = 50 * 2**30
JUST_WANTED_S = 60.0
"""Seconds for which nobody removes a copy after its path was asked for, so that it can be opened."""
_SLACK = 50
"""The folder is looked through after each 1/50 of the limit that this process added."""


def user_cache() -> Path:
    """`$UNIAUDIO_CACHE`, else `~/.cache/uniaudio`."""
    return Path(setting("UNIAUDIO_CACHE") or Path.home() / ".cache" / "uniaudio").absolute()


def private_folder(folder: Path) -> Path:
    """`folder`, made; `StoreError` where another user owns it, could replace it, or it is a link."""
    with one_line_errors(folder.parent):
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status, above = folder.lstat(), folder.parent.stat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise StoreError(f"{folder}: must be a folder of this user, so nothing is kept there. Set UNIAUDIO_CACHE.")
        if above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX:
            raise StoreError(f"{folder.parent}: others can write there, so nothing is kept below. Set UNIAUDIO_CACHE.")
        folder.chmod(0o700)
    return folder


def limit_bytes(folder: Path) -> int:
    """`UsageError` where the variable is no number."""
    text = setting("UNIAUDIO_CACHE_BYTES")
    if text:
        if not text.isdigit():
            raise UsageError(f"`UNIAUDIO_CACHE_BYTES` must be a number of bytes, but is {text!r}.")
        return int(text)
    return min(DEFAULT_BYTES, shutil.disk_usage(folder).total // 4)


class Cache:
    """Files by sha256. Processes share it: one of them fetches, the others wait for it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = private_folder(folder or private_folder(user_cache()) / "store")
        self._limit = limit_bytes(self.folder)
        self._added = self._limit

    def get(self, sha256: str, num_bytes: int | None, fetch: Callable[[BinaryIO], None]) -> Path:
        """The copy, fetched where it is not there; `StoreError` where `fetch` wrote other bytes."""
        target = self.folder / sha256
        if not _touch(target, num_bytes):
            with one_line_errors(self.folder), self._alone(sha256):
                if not _touch(target, num_bytes):
                    self._fetch(target, sha256, num_bytes, fetch)
        return target

    def drop(self, sha256: str) -> None:
        """The copy of what is deleted; without one it is fine."""
        if sha256:
            (self.folder / sha256).unlink(missing_ok=True)

    def _fetch(self, target: Path, sha256: str, num_bytes: int | None, fetch: Callable[[BinaryIO], None]) -> None:
        temporary = self.folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        try:
            with temporary.open("xb") as file:
                fetch(file)
                file.flush()
                os.fsync(file.fileno())
            size = temporary.stat().st_size
            if (num_bytes is not None and size != num_bytes) or hash_file(temporary) != sha256:
                raise StoreError(f"{target.name}: the copy has other bytes than its name says.")
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        self._added += size
        if self._added * _SLACK >= self._limit:
            self._added = 0
            self._make_room()

    def _make_room(self) -> None:
        copies = []
        for entry in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    copies.append((status.st_mtime, status.st_size, Path(entry.path)))
        total, kept_since = sum(size for _, size, _ in copies), time.time() - JUST_WANTED_S
        for wanted_at, size, path in sorted(copies):
            if total <= self._limit or wanted_at > kept_since:
                break
            path.unlink(missing_ok=True)
            total -= size

    @contextlib.contextmanager
    def _alone(self, sha256: str) -> Iterator[None]:
        locks = self.folder / ".locks"
        locks.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(locks / sha256[:2], os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _touch(path: Path, num_bytes: int | None) -> bool:
    """Whether the copy is there; its time of modification says when it was wanted last."""
    try:
        if num_bytes is not None and path.stat().st_size != num_bytes:
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
