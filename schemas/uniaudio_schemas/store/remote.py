"""A store on any `pyarrow.fs` filesystem, such as an object store: one PUT under a final name, reading through a local cache.

`pyarrow.fs` offers no conditional put, so locks hold within one process only: one plan must have one writer at a time, which
is said once in the log. Workers of that writer may put shards in parallel, their names are hashes.
"""

import contextlib
import logging
import os
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs

from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.store.files import FileEntry, Files, Temporary, copy_verified, one_line_errors

log = logging.getLogger(__name__)


class RemoteFiles(Files):
    exclusive_locks = False

    def __init__(self, filesystem: fs.FileSystem, base: str, uri: str, cache: Path | None = None) -> None:
        self.root: str = uri
        self._filesystem = filesystem
        self._base = base.rstrip("/")
        self._cache = cache or Path(tempfile.gettempdir()) / f"uniaudio-cache-{os.getuid()}"
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._said = False

    def _full(self, path: str) -> str:
        if ".." in path.split("/"):
            raise StoreError(f"{self.root}/{path}: leaves the store, so it is not touched.")
        return f"{self._base}/{path}"

    def read(self, path: str) -> bytes | None:
        with one_line_errors(self.root):
            if self.num_bytes(path) is None:
                return None
            with self._filesystem.open_input_stream(self._full(path)) as stream:
                data: bytes = stream.read()
                return data

    @contextlib.contextmanager
    def temporary(self, folder: str) -> Iterator[Temporary]:
        with one_line_errors(tempfile.gettempdir()), tempfile.NamedTemporaryFile(prefix="uniaudio-") as file:
            yield _RemoteTemporary(self, file)

    def upload(self, source: Path, path: str) -> None:
        target = self._full(path)
        with one_line_errors(self.root):
            # Object stores have no folders; others refuse to write into one that is not there.
            self._filesystem.create_dir(target.rpartition("/")[0], recursive=True)
            with source.open("rb") as file, self._filesystem.open_output_stream(target) as stream:
                while block := file.read(1 << 20):
                    stream.write(block)

    def num_bytes(self, path: str) -> int | None:
        with one_line_errors(self.root):
            found = self._filesystem.get_file_info(self._full(path))
        return int(found.size) if found.type == fs.FileType.File else None

    def entries(self, folder: str) -> list[FileEntry]:
        with one_line_errors(self.root):
            selector = fs.FileSelector(self._full(folder), recursive=True, allow_not_found=True)
            found = [info for info in self._filesystem.get_file_info(selector) if info.type == fs.FileType.File]
        entries = [
            FileEntry(
                path=info.path[len(self._base) + 1 :],
                num_bytes=int(info.size),
                modified_at=(info.mtime_ns or 0) / 1e9,
            )
            for info in found
        ]
        return sorted(entries, key=lambda entry: entry.path)

    def folders(self) -> list[str]:
        with one_line_errors(self.root):
            found = self._filesystem.get_file_info(fs.FileSelector(self._base, allow_not_found=True))
        return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)

    def delete(self, path: str) -> None:
        if self.num_bytes(path) is not None:
            with one_line_errors(self.root):
                self._filesystem.delete_file(self._full(path))

    def local_path(self, path: str, num_bytes: int | None = None, sha256: str = "") -> Path:
        target = self._cache / (sha256 or path.replace("/", "_"))
        if not (sha256 and target.is_file()):
            if self.num_bytes(path) is None:
                raise StoreError(f"{self.root}/{path}: is not there.")
            with one_line_errors(self.root), self._filesystem.open_input_stream(self._full(path)) as stream:
                copy_verified(stream, target, sha256, num_bytes)
        return target

    @contextlib.contextmanager
    def lock(self, path: str, *, exclusive: bool) -> Iterator[None]:
        if not self._said:
            self._said = True
            log.warning("%s has no conditional put: let one writer at a time work on one plan.", self.root)
        with self._locks[path]:
            yield


class _RemoteTemporary(Temporary):
    def __init__(self, files: RemoteFiles, file: "tempfile._TemporaryFileWrapper[bytes]") -> None:
        self._files = files
        self.file = file  # type: ignore[assignment]

    def commit(self, path: str) -> None:
        self.file.flush()
        self._files.upload(Path(self.file.name), path)
