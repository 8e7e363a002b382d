"""What a store needs of the place where its files lie: atomic writes, conditional ones, locks, and nothing outside the root.

`disk.LocalFiles` is a folder, `objects.ObjectFiles` a bucket of an object store. Paths are relative and `/`-separated.
"""

import contextlib
import errno
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from uniaudio_schemas.errors import StoreError

LOCK_TIMEOUT_S = 120.0
TEMPORARY_PREFIX = ".tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OF_THE_DISK = (*_FULL, errno.EACCES, errno.EROFS)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    path: str
    """Relative to the root."""
    num_bytes: int
    modified_at: float


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A file as it was read: what a conditional write compares."""

    data: bytes
    tag: Any = None
    """An object store's name of this state of the object."""


class Temporary(ABC):
    """A file that does not exist under its name until it is committed."""

    file: BinaryIO

    @abstractmethod
    def commit(self, path: str) -> None:
        """Make it durable, then give it its name in one step."""

    @abstractmethod
    def commit_content(self, path: str, num_bytes: int) -> bool:
        """`commit` under a name that is the hash of its bytes: what is there already is not written again. False where it is known to
        have been there."""


class Files(ABC):
    root: Path | str
    """Root as it is shown to people, without credentials."""
    fences: bool
    """True where a lock keeps everybody else from writing while it is held (a disk). False for an object store: there each
    write that others could contradict is conditional (`swap`), and `lock` is a lease that runs out."""

    scan_options: dict[str, Any] | None = None
    """What Polars needs, besides the environment, to read addresses below the root itself; None where it cannot."""

    @abstractmethod
    def read_seen(self, path: str) -> Seen | None:
        """Bytes of a file and what it was seen as; None where there is no such file."""

    @abstractmethod
    def swap(self, path: str, data: bytes, seen: Seen | None) -> bool:
        """Write in one step if the file is still as it was `seen` (None: not there). False where another was quicker."""

    @abstractmethod
    def temporary(self, folder: str) -> contextlib.AbstractContextManager[Temporary]:
        """Removed at the end unless committed; `folder` is where a local one waits."""

    @abstractmethod
    def entry(self, path: str) -> FileEntry | None:
        """Entry of a file; None where there is no such file."""

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
        """A local file with these bytes, for memory-mapping. Object store: a verified copy in the cache."""

    @abstractmethod
    def lock(self, path: str, *, exclusive: bool) -> contextlib.AbstractContextManager[None]: ...

    def epoch(self, path: str) -> int:
        """Waits until nobody holds the lock `path` exclusively; then how often somebody has. On a disk, where the lock itself
        keeps them out, always 0."""
        return 0

    def num_bytes(self, path: str) -> int | None:
        """Size of a file; None where there is no such file."""
        entry = self.entry(path)
        return None if entry is None else entry.num_bytes

    def read(self, path: str) -> bytes | None:
        """Bytes of a file; None where there is no such file."""
        seen = self.read_seen(path)
        return None if seen is None else seen.data

    def load(self, path: str, parse: Callable[[Seen], Result]) -> Result | None:
        """`parse` of the file, None where there is none. An object store reads again where `parse` finds it torn (`DataError`)."""
        seen = self.read_seen(path)
        return None if seen is None else parse(seen)

    def write(self, path: str, data: bytes) -> None:
        """Atomic and durable."""
        with self.temporary(path.rpartition("/")[0]) as temporary:
            temporary.file.write(data)
            temporary.commit(path)

    def copy_to(self, path: str, file: BinaryIO) -> None:
        """Copy the bytes of a file into an open file. `StoreError` where it is not there."""
        with self.local_path(path).open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`map`, in order; an object store works on many at once."""
        return map(work, items)

    def missing(self, paths: list[str]) -> list[str]:
        """Which of the paths are not there, in order."""
        sizes = self.each(self.num_bytes, paths)
        return [path for path, size in zip(paths, sizes, strict=True) if size is None]

    def delete_all(self, paths: Iterable[str]) -> None:
        """`delete` each, in order."""
        for path in paths:
            self.delete(path)

    def unfinished_uploads(self, started_before: float) -> list[str]:
        """What killed writers left of large files, where it is kept and paid for; each is a name for `abort_upload`."""
        return []

    def abort_upload(self, name: str) -> None:
        """One of `unfinished_uploads`."""
        raise StoreError(f"{self.root}: keeps no unfinished uploads, so not {name}.")


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
        if translated := disk_error(error, place):
            raise translated from error
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
