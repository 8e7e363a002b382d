"""What a training run keeps in the store to go on from, on this machine or another, until its result is published.

    train/<plan id>/run/…              Ray Train's: the last two training checkpoints, and which they are
    train/<plan id>/final/…            the trained weights; `result.json` is written last: with it the run has ended
    train/<plan id>/progress.json      where it stands: Ray Train's own reports come with checkpoints alone
        {"line": "stage1 40/80 steps, loss 3.21", "step": 40, "pid": 4711}

On a disk these are files. In an object store Ray Train writes its checkpoints there too, and the rest goes through a local folder.
"""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.errors import DataError, StoreError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.layout import TRAIN

from uniaudio_pipelines.running.scratch import ScratchFolder

if TYPE_CHECKING:
    from pyarrow import fs

RESULT_FILE = "result.json"
_PROGRESS_FILE = "progress.json"
_POLL_S = 1.0
_BLOCK_BYTES = 1 << 20


class RunFolder:
    def __init__(self, store: Store, plan_id: str) -> None:
        self._store, self._files = store, store.files
        self._path = f"{TRAIN}/{plan_id}"
        self._local = store.root / self._path if isinstance(store.root, Path) else None

    @property
    def place(self) -> str:
        """What errors call it."""
        return str(self._store.root)

    def storage(self) -> "tuple[str, fs.FileSystem | None]":
        """`storage_path` and `storage_filesystem` of Ray Train's `RunConfig`."""
        if self._local is not None:
            self._local.mkdir(parents=True, exist_ok=True)
            return str(self._local), None
        from uniaudio_schemas.store.arrow_files import arrow_filesystem

        filesystem, base = arrow_filesystem(str(self._store.root))
        return f"{base}/{self._path}", filesystem

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A local folder that is gone afterwards; on a disk beside the run's files."""
        if self._local is not None:
            self._local.mkdir(parents=True, exist_ok=True)
        with ScratchFolder("train", self._local) as folder:
            yield Path(folder)

    def has_final(self) -> bool:
        return self._files.num_bytes(f"{self._path}/final/{RESULT_FILE}") is not None

    @contextmanager
    def new_final(self) -> Iterator[Path]:
        """An empty local folder to fill; what is in it at the end is the final folder, whole or not at all."""
        with self.scratch() as scratch:
            folder = scratch / "final"
            folder.mkdir()
            yield folder
            if self._local is not None:
                shutil.rmtree(self._local / "final", ignore_errors=True)
                folder.replace(self._local / "final")
                return
            # The result last: it says that the others are there.
            for path in sorted(folder.iterdir(), key=lambda path: (path.name == RESULT_FILE, path.name)):
                with path.open("rb") as file, self._files.temporary(self._path) as temporary:
                    shutil.copyfileobj(file, temporary.file, _BLOCK_BYTES)
                    temporary.commit(f"{self._path}/final/{path.name}")

    def final(self) -> tuple[Path, Path]:
        """The final folder, or a local copy of it that lives as long as this object, and the folder that may go once its files are
        put. `StoreError` where there is none."""
        if not self.has_final():
            raise StoreError(f"{self._store.root}/{self._path}: training has not ended.")
        if self._local is not None:
            return self._local / "final", self._local
        self._copy = ScratchFolder("train")
        folder = Path(self._copy.name)
        for entry in self._files.entries(f"{self._path}/final"):
            with (folder / entry.path.rpartition("/")[2]).open("wb") as file:
                self._files.copy_to(entry.path, file)
        return folder, folder

    def write_progress(self, state: dict[str, Any]) -> None:
        """Replaces it as a whole, so that it is never half read."""
        self._files.write(f"{self._path}/{_PROGRESS_FILE}", json.dumps(state).encode())

    @contextmanager
    def followed(self, show: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """While inside, `show` is given each new state within a second, from a thread of its own; the last one at the end."""
        path = f"{self._path}/{_PROGRESS_FILE}"
        self._files.delete(path)
        stopped, last = threading.Event(), b""

        def look() -> None:
            nonlocal last
            try:
                text = self._files.read(path) or b""
            except (StoreError, DataError):
                # A view of the work may miss a second of it.
                return
            if text and text != last:
                last = text
                show(json.loads(text))

        def follow() -> None:
            while not stopped.wait(_POLL_S):
                look()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
            look()

    def clear(self) -> None:
        """Once the result is published."""
        if self._local is not None:
            shutil.rmtree(self._local, ignore_errors=True)
            return
        self._files.delete_all([entry.path for entry in self._files.entries(self._path)])
