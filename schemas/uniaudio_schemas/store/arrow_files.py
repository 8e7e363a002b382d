"""An object store as a filesystem of Arrow, for what writes through one, such as Ray Train's checkpoints.

The client is the store's own, so that credentials, retries and names are the same; Arrow's own client would put empty objects in the
place of folders.
"""

from collections.abc import Callable
from typing import Any

from pyarrow import PythonFile
from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store.object_client import PartsGoneError, options, parts_gone


def arrow_filesystem(uri: str) -> tuple[FileSystem, str]:
    """Filesystem of `uri`, which can be sent to other processes, and the path in it."""
    from obstore.fsspec import FsspecStore

    scheme: Any
    scheme, _, path = uri.partition("://")
    if scheme == "memory":
        raise UsageError(f"`root` must be in an object store that other processes see, but is {uri}.")
    return PyFileSystem(_Handler(FsspecStore(scheme, **options(uri)))), path


class _Handler(FSSpecHandler):  # type: ignore[misc]  # pyarrow has no types
    def open_output_stream(self, path: str, metadata: Any) -> PythonFile:
        return PythonFile(_Bytes(self.fs.open(path, mode="wb"), lambda: int(self.fs.info(path)["size"])), mode="w")

    def delete_dir(self, path: str) -> None:
        # Files alone: folders are no objects, and what is not there Azure's and Google's stores do not delete.
        if files := self.fs.find(path):
            self.fs.rm(files)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        self.delete_dir(path)


class _Bytes:
    """Arrow writes buffers of signed bytes, which the client refuses."""

    def __init__(self, file: Any, size_there: Callable[[], int]) -> None:
        self._file, self._size_there, self._num_bytes = file, size_there, 0

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def write(self, data: Any) -> int:
        block = memoryview(data).cast("B")
        self._file.write(block)
        self._num_bytes += len(block)
        return len(block)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        try:
            with parts_gone():
                self._file.close()
        except PartsGoneError as error:
            # What was streamed cannot be sent again. Nobody else writes here: an earlier try of the client had arrived.
            if self._size_there() != self._num_bytes:
                raise OSError("the parts of the upload were gone before they were put together") from error
