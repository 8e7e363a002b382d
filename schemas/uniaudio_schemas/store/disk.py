"""Files of a disk: a folder of this machine, or a network folder with working `flock`. Writes survive a power cut."""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.store.files import (
    LOCK_TIMEOUT_S,
    TEMPORARY_PREFIX,
    FileEntry,
    Files,
    Seen,
    Temporary,
    one_line_errors,
)

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class _LocalTemporary(Temporary):
    def __init__(self, files: "LocalFiles", path: Path) -> None:
        self._files, self._path = files, path
        self.file = os.fdopen(
            os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644), "w+b"
        )

    def commit(self, path: str) -> None:
        target = self._files.prepared(path)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self._path.rename(target)
        fsync_folder(target.parent)

    def commit_content(self, path: str, num_bytes: int) -> bool:
        if self._files.num_bytes(path) == num_bytes:
            return False
        self.commit(path)
        return True

    def commit_new(self, path: str) -> bool:
        """`commit` where nothing has the name yet."""
        target = self._files.prepared(path)
        self.file.flush()
        os.fsync(self.file.fileno())
        try:
            os.link(self._path, target, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            # A filesystem without links; who writes here holds a lock besides.
            if error.errno not in _NO_LINKS:
                raise
            if target.exists():
                return False
            self._path.rename(target)
        fsync_folder(target.parent)
        return True

    def remove(self) -> None:
        # Closing flushes, which fails again on a full disk.
        with contextlib.suppress(OSError):
            self.file.close()
        self._path.unlink(missing_ok=True)


class LocalFiles(Files):
    """A folder of this machine (or a network folder with working `flock`)."""

    fences = True

    def __init__(self, root: Path) -> None:
        self.root: Path = root.absolute()
        self._found_root: str | None = None

    def inside(self, path: str) -> Path:
        """The absolute path of `path`; refuses one that leaves the root, also through a link."""
        target = self.root / path
        folder = os.path.realpath(target.parent)
        if ".." in path.split("/") or not f"{folder}/".startswith(self._real_root()):
            raise StoreError(f"{target}: leaves the store {self.root}, so it is not touched.")
        return target

    def _real_root(self) -> str:
        """Real path of the root with a slash at its end. It is looked up once, since every file needs it."""
        if self._found_root is None:
            self._found_root = os.path.realpath(self.root).rstrip("/") + "/"
        return self._found_root

    def prepared(self, path: str) -> Path:
        """`inside`, with its folder made (durably)."""
        target = self.inside(path)
        with one_line_errors(target.parent):
            make_folder(target.parent)
        return target

    def read_seen(self, path: str) -> Seen | None:
        target = self.inside(path)
        with one_line_errors(target.parent):
            try:
                descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                return None
            with os.fdopen(descriptor, "rb") as file:
                return Seen(data=file.read())

    def swap(self, path: str, data: bytes, seen: Seen | None) -> bool:
        """Compare and write in one step where nothing was there. Otherwise the caller must hold a lock that other writers take too."""
        with self.temporary(path.rpartition("/")[0]) as temporary:
            temporary.file.write(data)
            if seen is None:
                return temporary.commit_new(path)
            if self.read(path) != seen.data:
                return False
            temporary.commit(path)
            return True

    @contextlib.contextmanager
    def temporary(self, folder: str) -> Iterator[_LocalTemporary]:
        name = f"{folder}/{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        path = self.prepared(name)
        with one_line_errors(path.parent):
            file = _LocalTemporary(self, path)
            try:
                yield file
            finally:
                file.remove()

    def entry(self, path: str) -> FileEntry | None:
        return self._entry(path, self.inside(path))

    def _entry(self, path: str, target: Path) -> FileEntry | None:
        with one_line_errors(target.parent):
            try:
                status = target.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return FileEntry(path=path, num_bytes=status.st_size, modified_at=status.st_mtime)

    def entries(self, folder: str) -> list[FileEntry]:
        files = []
        with one_line_errors(self.root / folder):
            for parent, _, names in os.walk(self.inside(f"{folder}/x").parent):
                for name in names:
                    path = Path(parent, name)
                    with contextlib.suppress(FileNotFoundError):
                        status = path.lstat()
                        relative = path.relative_to(self.root).as_posix()
                        files.append(FileEntry(path=relative, num_bytes=status.st_size, modified_at=status.st_mtime))
        return sorted(files, key=lambda entry: entry.path)

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
        entry = self._entry(path, target)
        if entry is None:
            raise StoreError(f"{target}: is not there.")
        if num_bytes is not None and entry.num_bytes != num_bytes:
            raise StoreError(f"{target}: must have {num_bytes} bytes, but has {entry.num_bytes}.")
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
    """Make a folder with its parents; each new name survives a power cut."""
    missing_folders = []
    while not folder.is_dir():
        missing_folders.append(folder)
        folder = folder.parent
    for path in reversed(missing_folders):
        with contextlib.suppress(FileExistsError):
            path.mkdir()
        fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
