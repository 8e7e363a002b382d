"""A store in an object store (`s3://`, `gs://`, `az://`): conditional PUTs, parallel requests, reading through a local cache.

    UNIAUDIO_STORE=s3://bucket/prefix      credentials from the environment alone (AWS_*, GOOGLE_*, AZURE_*)

`memory://name` is the same in this process' memory, for tests. What no client can know, whether a conditional PUT whose answer was lost
had arrived, is found out here by reading. Decision record 11 says why two drivers, `collect` and kills at any moment are safe with that.
"""

import contextlib
import math
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from uniaudio_schemas.errors import StoreError, UsageError
from uniaudio_schemas.store import s3_uploads
from uniaudio_schemas.store.bucket import DELETED_AT_ONCE, PART_BYTES, Bucket, again
from uniaudio_schemas.store.cache import Cache
from uniaudio_schemas.store.files import FileEntry, Files, Seen, Temporary, one_line_errors
from uniaudio_schemas.store.object_client import RETRY_S, polars_options
from uniaudio_schemas.store.object_lock import Held, current_epoch

NUM_PARALLEL = 32
_IN_MEMORY_BYTES = 64 * 2**20

Item = TypeVar("Item")
Result = TypeVar("Result")


class ObjectFiles(Files):
    fences = False

    def __init__(self, uri: str, cache: Path | None = None) -> None:
        self.bucket = Bucket(uri)
        self.root: str = self.bucket.uri
        self.scan_options = None if self.root.startswith("memory://") else polars_options(self.root)
        self._cache_folder = cache
        self._cache: Cache | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._held = threading.local()

    def read_seen(self, path: str) -> Seen | None:
        return again(lambda: self.bucket.read(path))

    def load(self, path: str, parse: Callable[[Seen], Result]) -> Result | None:
        return again(lambda: super(ObjectFiles, self).load(path, parse))

    def swap(self, path: str, data: bytes, seen: Seen | None) -> bool:
        deadline = time.monotonic() + RETRY_S
        while True:
            self._check_locks()
            unsure: StoreError | None = None
            try:
                if self.bucket.put_where(path, data, seen):
                    return True
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
        self._check_locks()
        self.bucket.put(path, data)

    @contextlib.contextmanager
    def temporary(self, folder: str) -> Iterator[Temporary]:
        with (
            one_line_errors(tempfile.gettempdir()),
            tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES, prefix="uniaudio-") as file,
        ):
            yield _Upload(self, cast(BinaryIO, file))

    def entry(self, path: str) -> FileEntry | None:
        return self.bucket.entry(path)

    def entries(self, folder: str) -> list[FileEntry]:
        return self.bucket.entries(folder)

    def folders(self) -> list[str]:
        return self.bucket.folders()

    def delete(self, path: str) -> None:
        self.delete_all([path])

    def delete_all(self, paths: Iterable[str]) -> None:
        all_paths, locks = list(paths), self._locks()
        for first in range(0, len(all_paths), DELETED_AT_ONCE):
            some = all_paths[first : first + DELETED_AT_ONCE]
            self._delete(some, locks)
            for path in some:
                # What is forgotten is not to live on here.
                self._copies().drop(path.rpartition("/")[2].partition(".")[0])

    def _delete(self, paths: list[str], locks: list[Held]) -> None:
        def check() -> None:
            # A lock that ran out must not delete what others have put since.
            for lock in locks:
                lock.check()

        try:
            self.bucket.delete(paths, before=check)
        except FileNotFoundError:
            # Amazon's store is fine with one that is gone. Others stop there and leave the rest.
            for _ in self.each(lambda path: self._delete([path], locks), paths if len(paths) > 1 else []):
                pass

    def local_path(self, path: str, num_bytes: int | None = None, sha256: str = "") -> Path:
        if not sha256:
            raise UsageError(f"{self.root}/{path}: a copy needs the sha256 that it must have.")
        cache = self._copies()

        def fetched() -> Path:
            return cache.get(sha256, num_bytes, lambda file: self.copy_to(path, file))

        return again(fetched, StoreError, limit_s=math.inf)

    def _copies(self) -> Cache:
        self._cache = self._cache or Cache(self._cache_folder)
        return self._cache

    def copy_to(self, path: str, file: BinaryIO) -> None:
        self.bucket.copy_to(path, file)

    @contextlib.contextmanager
    def lock(self, path: str, *, exclusive: bool) -> Iterator[None]:
        with Held(self, path, exclusive=exclusive) as held:
            mine = self._held.__dict__.setdefault("locks", [])
            mine.append(held)
            try:
                yield
            finally:
                mine.remove(held)

    def _locks(self) -> list[Held]:
        """Locks that this thread holds."""
        return list(getattr(self._held, "locks", []))

    def _check_locks(self) -> None:
        for held in self._locks():
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
        existing_paths: set[str] = set()
        for folder, inside in folders.items():
            # A listing is one request for 1,000 names, but of all that lies there.
            if len(inside) > 2 * NUM_PARALLEL:
                existing_paths |= {entry.path for entry in self.entries(folder)}
        paths_to_ask = [
            path
            for path in paths
            if path not in existing_paths and len(folders[path.rpartition("/")[0]]) <= 2 * NUM_PARALLEL
        ]
        existing_paths |= {
            path
            for path, size in zip(paths_to_ask, self.each(self.num_bytes, paths_to_ask), strict=True)
            if size is not None
        }
        return [path for path in paths if path not in existing_paths]

    def unfinished_uploads(self, started_before: float) -> list[str]:
        return s3_uploads.unfinished(self.root, started_before) if self.root.startswith("s3://") else []

    def abort_upload(self, name: str) -> None:
        s3_uploads.abort(self.root, name)


class _Upload(Temporary):
    def __init__(self, files: ObjectFiles, file: BinaryIO) -> None:
        self._files, self.file = files, file

    def commit(self, path: str) -> None:
        self._files.bucket.upload(self.file, path)

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
