"""A store in an object store (`s3://`, `gs://`, `az://`): conditional PUTs, parallel requests, reading through a local cache.

    UNIAUDIO_STORE=s3://bucket/prefix      credentials from the environment alone (AWS_*, GOOGLE_*, AZURE_*)

`memory://name` is the same in this process' memory, for tests. The client is `obstore`, which tries again after a failure of
the server or of the network; what it cannot know, whether a conditional PUT whose answer was lost had arrived, is found out here
by reading. Decision record 11 says why two drivers, `collect` and kills at any moment are safe with that.
"""

import contextlib
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar, cast

from uniaudio_schemas.errors import DataError, StoreError, UsageError
from uniaudio_schemas.store import s3_uploads
from uniaudio_schemas.store.cache import Cache
from uniaudio_schemas.store.files import FileEntry, Files, Seen, Temporary, one_line_errors
from uniaudio_schemas.store.object_client import (
    RETRY_S,
    PartsGoneError,
    checked_uri,
    one_line,
    open_client,
    parts_gone,
    polars_options,
)
from uniaudio_schemas.store.object_lock import Held, current_epoch

PART_BYTES = 16 * 2**20
"""Larger files go up in parts of this size, several at once."""
NUM_PARALLEL = 32
TRIES = 4
"""Of reading what came torn."""
_IN_MEMORY_BYTES = 64 * 2**20

Item = TypeVar("Item")
Result = TypeVar("Result")


class ObjectFiles(Files):
    fences = False

    def __init__(self, uri: str, cache: Path | None = None) -> None:
        self.root: str = checked_uri(uri)
        self._store = open_client(self.root)
        self.scan_options = None if self.root.startswith("memory://") else polars_options(self.root)
        self._cache_folder = cache
        self._cache: Cache | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._held = threading.local()

    def read_seen(self, path: str) -> Seen | None:
        import obstore

        return self._again(lambda: self._read(obstore, path))

    def _read(self, obstore: Any, path: str) -> Seen | None:
        with self._told(path):
            try:
                found = obstore.get(self._store, _checked(path))
                data = bytes(found.bytes())
            except FileNotFoundError:
                return None
        if len(data) != found.meta["size"]:
            raise DataError(f"{self.root}/{path}: {len(data)} of {found.meta['size']} bytes came.")
        return Seen(data=data, tag={name: found.meta[name] for name in ("e_tag", "version") if found.meta[name]})

    def load(self, path: str, parse: Callable[[Seen], Result]) -> Result | None:
        return self._again(lambda: super(ObjectFiles, self).load(path, parse))

    def _again(self, work: Callable[[], Result], told: type[Exception] = DataError) -> Result:
        """What comes torn is read again; what is torn there is told. `StoreError`: what may be done twice is done again, since the
        client does not ask again for each request whose answer did not come in time."""
        deadline = time.monotonic() + RETRY_S
        for attempt in range(TRIES):
            try:
                return work()
            except told:
                if attempt == TRIES - 1 or time.monotonic() > deadline:
                    raise
                time.sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")

    def swap(self, path: str, data: bytes, seen: Seen | None) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if seen is None else seen.tag
        deadline = time.monotonic() + RETRY_S
        while True:
            self._check_locks()
            unsure: StoreError | None = None
            try:
                with self._told(path):
                    obstore.put(self._store, _checked(path), data, mode=mode, use_multipart=False)
                return True
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                pass
            except StoreError as error:
                unsure = error
            # Refused, perhaps because an earlier try of the same request had arrived and its answer was lost.
            if self.read(path) == data:
                return True
            if unsure is None:
                return False
            if time.monotonic() > deadline:
                raise unsure

    def write(self, path: str, data: bytes) -> None:
        import obstore

        self._check_locks()
        with self._told(path):
            obstore.put(self._store, _checked(path), data, use_multipart=len(data) > PART_BYTES, chunk_size=PART_BYTES)

    @contextlib.contextmanager
    def temporary(self, folder: str) -> Iterator[Temporary]:
        with (
            one_line_errors(tempfile.gettempdir()),
            tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES, prefix="uniaudio-") as file,
        ):
            yield _Upload(self, cast(BinaryIO, file))

    def upload(self, file: IO[bytes], path: str) -> None:
        """From its beginning, in parts where it is large."""
        import obstore

        def send() -> None:
            file.seek(0)
            with self._told(path), parts_gone():
                obstore.put(self._store, _checked(path), file, chunk_size=PART_BYTES, use_multipart=True)

        self._again(send, StoreError)

    def entry(self, path: str) -> FileEntry | None:
        import obstore

        with self._told(path):
            try:
                return _entry(obstore.head(self._store, _checked(path)))
            except FileNotFoundError:
                return None

    def entries(self, folder: str) -> list[FileEntry]:
        import obstore

        with self._told(folder):
            pages = obstore.list(self._store, _checked(folder), chunk_size=1000)
            return sorted((_entry(meta) for page in pages for meta in page), key=lambda entry: entry.path)

    def folders(self) -> list[str]:
        import obstore

        with self._told(""):
            return sorted(str(name) for name in obstore.list_with_delimiter(self._store)["common_prefixes"])

    def delete(self, path: str) -> None:
        self.delete_all([path])

    def delete_all(self, paths: Iterable[str]) -> None:
        wanted, locks = [_checked(path) for path in paths], list(getattr(self._held, "locks", []))
        for first in range(0, len(wanted), 1000):
            self._delete(wanted[first : first + 1000], locks)
            for path in wanted[first : first + 1000]:
                # What is forgotten is not to live on here.
                self._copies().drop(path.rpartition("/")[2].partition(".")[0])

    def _delete(self, paths: list[str], locks: list[Held]) -> None:
        import obstore

        def ask() -> None:
            # Before each request: a lock that ran out must not delete what others have put since.
            for held in locks:
                held.check()
            with self._told(paths[0]):
                obstore.delete(self._store, paths)

        try:
            self._again(ask, StoreError)
        except FileNotFoundError:
            # Amazon's store is fine with one that is gone. Others stop there and leave the rest.
            for _ in self.each(lambda path: self._delete([path], locks), paths if len(paths) > 1 else []):
                pass

    def local_path(self, path: str, num_bytes: int | None = None, sha256: str = "") -> Path:
        if not sha256:
            raise UsageError(f"{self.root}/{path}: a copy needs the sha256 that it must have.")
        cache = self._copies()
        return self._again_after_wrong_bytes(
            lambda: cache.get(sha256, num_bytes, lambda file: self.copy_to(path, file))
        )

    def _copies(self) -> Cache:
        self._cache = self._cache or Cache(self._cache_folder)
        return self._cache

    def _again_after_wrong_bytes(self, work: Callable[[], Path]) -> Path:
        for attempt in range(TRIES - 1):
            try:
                return work()
            except _MissingError:
                raise
            except StoreError:
                time.sleep(0.05 * 2**attempt)
        return work()

    def copy_to(self, path: str, file: BinaryIO) -> None:
        import obstore

        with self._told(path):
            try:
                for block in obstore.get(self._store, _checked(path)).stream(min_chunk_size=2**20):
                    file.write(block)
            except FileNotFoundError as error:
                raise _MissingError(f"{self.root}/{path}: is not there.") from error

    @contextlib.contextmanager
    def lock(self, path: str, *, exclusive: bool) -> Iterator[None]:
        with Held(self, path, exclusive=exclusive) as held:
            mine = self._held.__dict__.setdefault("locks", [])
            mine.append(held)
            try:
                yield
            finally:
                mine.remove(held)

    def _check_locks(self) -> None:
        for held in getattr(self._held, "locks", []):
            held.check()

    def epoch(self, path: str) -> int:
        return current_epoch(self, path)

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        self._pool = self._pool or ThreadPoolExecutor(NUM_PARALLEL, thread_name_prefix="objects")
        running: deque[Future[Result]] = deque()
        try:
            for item in items:
                running.append(self._pool.submit(work, item))
                if len(running) >= 2 * NUM_PARALLEL:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()

    def missing(self, paths: list[str]) -> list[str]:
        folders: dict[str, list[str]] = {}
        for path in paths:
            folders.setdefault(path.rpartition("/")[0], []).append(path)
        found: set[str] = set()
        for folder, inside in folders.items():
            # A listing is one request for 1,000 names, but of all that lies there.
            if len(inside) > 2 * NUM_PARALLEL:
                found |= {entry.path for entry in self.entries(folder)}
        asked = [
            path for path in paths if path not in found and len(folders[path.rpartition("/")[0]]) <= 2 * NUM_PARALLEL
        ]
        found |= {path for path, size in zip(asked, self.each(self.num_bytes, asked), strict=True) if size is not None}
        return [path for path in paths if path not in found]

    def unfinished_uploads(self, started_before: float) -> list[str]:
        return s3_uploads.unfinished(self.root, started_before) if self.root.startswith("s3://") else []

    def abort_upload(self, name: str) -> None:
        s3_uploads.abort(self.root, name)

    @contextlib.contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """What went wrong in one line; what the caller looks out for passes."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            raise
        except (BaseError, PartsGoneError) as error:
            raise StoreError(f"{self.root}/{path}: {one_line(error)}") from error


class _Upload(Temporary):
    def __init__(self, files: ObjectFiles, file: BinaryIO) -> None:
        self._files, self.file = files, file

    def commit(self, path: str) -> None:
        self._files.upload(self.file, path)

    def commit_content(self, path: str, num_bytes: int) -> bool:
        if num_bytes <= PART_BYTES:
            # One request, which sends what is there already in vain: rare, and cheaper than asking each time.
            self.file.seek(0)
            self._files.swap(path, self.file.read(), None)
        elif self._files.num_bytes(path) == num_bytes:
            return False
        else:
            self.commit(path)
        return True


class _MissingError(StoreError):
    """Asking again does not help."""


def _entry(meta: Any) -> FileEntry:
    # Of single objects some servers tell whole seconds only.
    modified_at = float(int(meta["last_modified"].timestamp()))
    return FileEntry(path=str(meta["path"]), num_bytes=int(meta["size"]), modified_at=modified_at)


def _checked(path: str) -> str:
    if ".." in path.split("/"):
        raise StoreError(f"{path}: leaves the store, so it is not touched.")
    return path
