"""A prefix of a bucket: single requests, each of whose failures is one line, and which of them are made again.

The client (`obstore`) asks again after a failure of the server or of the network. Here is what it does not do: read again what came
torn, delete and upload again where no answer came in time. Nothing here knows of locks, of copies, or of what else is in a store.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, BinaryIO, TypeVar

from uniaudio_schemas.errors import DataError, StoreError
from uniaudio_schemas.store.files import FileEntry, Seen
from uniaudio_schemas.store.object_client import RETRY_S, PartsGoneError, checked_uri, one_line, open_client, parts_gone

PART_BYTES = 16 * 2**20
"""Larger files go up in parts of this size, several at once."""
TRIES = 4
"""Attempts at one request whose answer is torn or missing."""
DELETED_AT_ONCE = 1000
"""Objects of one request, at most; as many are on a page of a listing."""

Result = TypeVar("Result")


class MissingError(StoreError):
    """Asking again does not help."""


class Bucket:
    """Paths are below the prefix."""

    def __init__(self, uri: str) -> None:
        self.uri = checked_uri(uri)
        self.client = open_client(self.uri)

    def read(self, path: str) -> Seen | None:
        """Contents of an object, and what it was seen as; None where there is none. `DataError` where its bytes came torn."""
        import obstore

        with self._told(path):
            try:
                response = obstore.get(self.client, _checked(path))
                data = bytes(response.bytes())
            except FileNotFoundError:
                return None
        if len(data) != response.meta["size"]:
            raise DataError(f"{self.uri}/{path}: {len(data)} of {response.meta['size']} bytes came.")
        return Seen(data=data, tag={name: response.meta[name] for name in ("e_tag", "version") if response.meta[name]})

    def put(self, path: str, data: bytes) -> None:
        """Write an object, whatever is there."""
        import obstore

        with self._told(path):
            obstore.put(self.client, _checked(path), data, use_multipart=len(data) > PART_BYTES, chunk_size=PART_BYTES)

    def put_where(self, path: str, data: bytes, seen: Seen | None) -> bool:
        """Write an object that is still as it was seen (None: that is not there). False: it was refused. `StoreError`: nobody knows."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if seen is None else seen.tag
        try:
            with self._told(path):
                obstore.put(self.client, _checked(path), data, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            return False
        return True

    def upload(self, file: IO[bytes], path: str) -> None:
        """Upload a file from its beginning, in parts where it is large."""
        import obstore

        def send() -> None:
            file.seek(0)
            with self._told(path), parts_gone():
                obstore.put(self.client, _checked(path), file, chunk_size=PART_BYTES, use_multipart=True)

        again(send, StoreError)

    def copy_to(self, path: str, file: BinaryIO) -> None:
        """`MissingError` where there is no such object."""
        import obstore

        with self._told(path):
            try:
                for block in obstore.get(self.client, _checked(path)).stream(min_chunk_size=2**20):
                    file.write(block)
            except FileNotFoundError as error:
                raise MissingError(f"{self.uri}/{path}: is not there.") from error

    def entry(self, path: str) -> FileEntry | None:
        import obstore

        with self._told(path):
            try:
                return _entry(obstore.head(self.client, _checked(path)))
            except FileNotFoundError:
                return None

    def entries(self, folder: str) -> list[FileEntry]:
        """All objects below it, by path."""
        import obstore

        with self._told(folder):
            pages = obstore.list(self.client, _checked(folder), chunk_size=DELETED_AT_ONCE)
            return sorted((_entry(meta) for page in pages for meta in page), key=lambda entry: entry.path)

    def folders(self) -> list[str]:
        """Names of the top ones."""
        import obstore

        with self._told(""):
            return sorted(str(name) for name in obstore.list_with_delimiter(self.client)["common_prefixes"])

    def delete(self, paths: list[str], before: Callable[[], None]) -> None:
        """`before` each request; `FileNotFoundError` where the server stopped at one that is gone."""
        import obstore

        checked_paths = [_checked(path) for path in paths]

        def ask() -> None:
            before()
            with self._told(paths[0]):
                obstore.delete(self.client, checked_paths)

        again(ask, StoreError)

    @contextlib.contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """What went wrong in one line; what the caller looks out for passes."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            raise
        except (BaseError, PartsGoneError) as error:
            raise StoreError(f"{self.uri}/{path}: {one_line(error)}") from error


def again(work: Callable[[], Result], told: type[Exception] = DataError, limit_s: float = RETRY_S) -> Result:
    """What comes torn is read again; what is torn there is told. `StoreError`: what may be done twice is done again, since the
    client does not ask again for each request whose answer did not come in time."""
    deadline = time.monotonic() + limit_s
    for attempt in range(TRIES):
        try:
            return work()
        except told as error:
            if isinstance(error, MissingError) or attempt == TRIES - 1 or time.monotonic() > deadline:
                raise
            time.sleep(0.05 * 2**attempt)
    raise AssertionError("unreachable")


def _entry(meta: Any) -> FileEntry:
    # Of single objects some servers tell whole seconds only.
    modified_at = float(int(meta["last_modified"].timestamp()))
    return FileEntry(path=str(meta["path"]), num_bytes=int(meta["size"]), modified_at=modified_at)


def _checked(path: str) -> str:
    if ".." in path.split("/"):
        raise StoreError(f"{path}: leaves the store, so it is not touched.")
    return path
