"""Files below one root: atomic writes that survive a power cut, locks, and nothing outside the root.

`LocalFiles` is a folder. `remote.RemoteFiles` is any `pyarrow.fs` filesystem. Paths are relative and `/`-separated.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.fingerprint import hash_file

LOCK_TIMEOUT_S = 120.0
TEMPORARY_PREFIX = ".tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OF_THE_DISK = (*_FULL, errno.EACCES, errno.EROFS)


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    path: str
    """Relative to the root."""
    num_bytes: int
    modified_at: float


class Temporary(ABC):
    """A file that does not exist under its name until `commit`."""

    file: BinaryIO

    @abstractmethod
    def commit(self, path: str) -> None:
        """Make it durable, then give it its name in one step."""


class Files(ABC):
    """What a store needs of a filesystem."""

    root: Path | str
    exclusive_locks: bool
    """True where `lock` keeps out every other process. Where it is False (an object store reached without conditional
    puts), one plan must have one writer at a time: the fencing token is checked, but not in one step with the write."""

    @abstractmethod
    def read(self, path: str) -> bytes | None:
        """None where there is no such file."""

    @abstractmethod
    def temporary(self, folder: str) -> contextlib.AbstractContextManager[Temporary]:
        """Removed at the end unless committed; `folder` is where a local one waits."""

    @abstractmethod
    def num_bytes(self, path: str) -> int | None:
        """None where there is no such file."""

    @abstractmethod
    def entries(self, folder: str) -> list[FileEntry]:
        """All files below `folder`, by path."""

    @abstractmethod
    def folders(self) -> list[str]:
        """Names of the top folders."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """A file or an empty folder; one that is not there is fine."""

    @abstractmethod
    def local_path(self, path: str, num_bytes: int | None = None, sha256: str = "") -> Path:
        """A local file with these bytes, for memory-mapping. Remote: a verified copy in the cache."""

    @abstractmethod
    def lock(self, path: str, *, exclusive: bool) -> contextlib.AbstractContextManager[None]: ...

    def write(self, path: str, data: bytes) -> None:
        """Atomic and durable."""
        with self.temporary(path.rpartition("/")[0]) as temporary:
            temporary.file.write(data)
            temporary.commit(path)


@contextlib.contextmanager
def one_line_errors(folder: Path | str) -> Iterator[None]:
    """An `OSError` becomes a `StoreError` that names the folder."""
    try:
        yield
    except OSError as error:
        raise _in_one_line(error, folder) from error


@contextlib.contextmanager
def disk_errors(place: Path | str) -> Iterator[None]:
    """A full or protected disk is a `StoreError`; any other `OSError` passes, it may be a defect of ours."""
    try:
        yield
    except OSError as error:
        if told := disk_error(error, place):
            raise told from error
        raise


def disk_error(error: BaseException, place: Path | str) -> StoreError | None:
    """Names the file, or `place` where the system does not say which. None where the disk is not at fault."""
    if not isinstance(error, OSError) or error.errno not in _OF_THE_DISK:
        return None
    return _in_one_line(error, error.filename or place)


def _in_one_line(error: OSError, place: Path | str) -> StoreError:
    if error.errno in _FULL:
        reason = os.strerror(error.errno or 0)
        return StoreError(f"{place}: no space left ({reason}). Free some and run again: what is finished is kept.")
    return StoreError(f"{place}: {error.strerror or error}.")


class _LocalTemporary(Temporary):
    def __init__(self, files: "LocalFiles", path: Path) -> None:
        self._files, self._path = files, path
        self.file = os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644), "wb"
        )

    def commit(self, path: str) -> None:
        target = self._files.prepared(path)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self._path.rename(target)
        fsync_folder(target.parent)

    def remove(self) -> None:
        # Closing flushes, which fails again on a full disk.
        with contextlib.suppress(OSError):
            self.file.close()
        self._path.unlink(missing_ok=True)


class LocalFiles(Files):
    """A folder of this machine (or a network folder with working `flock`)."""

    exclusive_locks = True

    def __init__(self, root: Path) -> None:
        self.root: Path = root.absolute()

    def inside(self, path: str) -> Path:
        """The absolute path of `path`; refuses one that leaves the root, also through a link."""
        target = self.root / path
        folder = Path(os.path.realpath(target.parent))
        real_root = Path(os.path.realpath(self.root))
        if ".." in Path(path).parts or not folder.is_relative_to(real_root):
            raise StoreError(f"{target}: leaves the store {self.root}, so it is not touched.")
        return target

    def prepared(self, path: str) -> Path:
        """`inside`, with its folder made (durably)."""
        target = self.inside(path)
        with one_line_errors(target.parent):
            make_folder(target.parent)
        return target

    def read(self, path: str) -> bytes | None:
        target = self.inside(path)
        with one_line_errors(target.parent):
            try:
                descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                return None
            with os.fdopen(descriptor, "rb") as file:
                return file.read()

    @contextlib.contextmanager
    def temporary(self, folder: str) -> Iterator[Temporary]:
        name = f"{folder}/{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        path = self.prepared(name)
        with one_line_errors(path.parent):
            made = _LocalTemporary(self, path)
            try:
                yield made
            finally:
                made.remove()

    def num_bytes(self, path: str) -> int | None:
        target = self.inside(path)
        with one_line_errors(target.parent):
            try:
                found = target.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def entries(self, folder: str) -> list[FileEntry]:
        found = []
        with one_line_errors(self.root / folder):
            for parent, _, names in os.walk(self.inside(f"{folder}/x").parent):
                for name in names:
                    path = Path(parent, name)
                    with contextlib.suppress(FileNotFoundError):
                        status = path.lstat()
                        relative = path.relative_to(self.root).as_posix()
                        found.append(FileEntry(path=relative, num_bytes=status.st_size, modified_at=status.st_mtime))
        return sorted(found, key=lambda entry: entry.path)

    def folders(self) -> list[str]:
        if not self.root.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir(follow_symlinks=False))

    def delete(self, path: str) -> None:
        target = self.inside(path)
        with one_line_errors(target.parent), contextlib.suppress(FileNotFoundError):
            if target.is_dir() and not target.is_symlink():
                # A writer may be putting something there: then the folder stays.
                with contextlib.suppress(OSError):
                    target.rmdir()
            else:
                target.unlink()

    def local_path(self, path: str, num_bytes: int | None = None, sha256: str = "") -> Path:
        target = self.inside(path)
        found = self.num_bytes(path)
        if found is None:
            raise StoreError(f"{target}: is not there.")
        if num_bytes is not None and found != num_bytes:
            raise StoreError(f"{target}: must have {num_bytes} bytes, but has {found}.")
        return target

    @contextlib.contextmanager
    def lock(self, path: str, *, exclusive: bool) -> Iterator[None]:
        target = self.prepared(path)
        with one_line_errors(target.parent):
            descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            _flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, target)
            yield
        finally:
            os.close(descriptor)


def _flock(descriptor: int, operation: int, path: Path) -> None:
    """Waits by asking again: a stopped process that holds the lock must not stop this one for ever."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(f"{path}: somebody has held this lock for {LOCK_TIMEOUT_S:.0f} s.") from None
            time.sleep(0.005)
        except OSError as error:
            raise StoreError(f"{path}: cannot be locked ({error.strerror}).") from error


def make_folder(folder: Path) -> None:
    """With its parents; each new name survives a power cut."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            path.mkdir()
        fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_verified(source: BinaryIO, target: Path, sha256: str, num_bytes: int | None) -> None:
    """Into a local file that appears only whole; wrong bytes are a `StoreError`."""
    with one_line_errors(target.parent):
        make_folder(target.parent)
        temporary = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}")
        try:
            with temporary.open("xb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            found = temporary.stat().st_size
            if (num_bytes is not None and found != num_bytes) or (sha256 and hash_file(temporary) != sha256):
                raise StoreError(f"{target.name}: the copy has other bytes than its name says.")
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
