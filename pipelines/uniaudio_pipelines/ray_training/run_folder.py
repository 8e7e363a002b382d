"""What a training run keeps in the store to go on from, on this machine or another, until its result is published.

    train/<plan id>/run/…              Ray Train's: the last training checkpoints, and which they are
    train/<plan id>/kept/stage3-00004000/…   copies of those that stay (`keeping`), also when the result is published
    train/<plan id>/final/…            the trained weights; `result.json` is written last: with it the run has ended
    train/<plan id>/progress.json      where it stands: Ray Train's own reports come with checkpoints alone
        {"line": "stage1 40/80 steps, loss 3.21", "step": 40, "pid": 4711}

On a disk these are files. In an object store Ray Train writes its checkpoints there too, and the rest goes through a local folder.
"""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.errors import DataError, StoreError
from uniaudio_schemas.kinds.codec import RANKS_STATISTIC
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.layout import TRAIN

from uniaudio_pipelines.running.scratch import ScratchFolder

if TYPE_CHECKING:
    from pyarrow import fs

RESULT_FILE = "result.json"
RUN = "run"
"""Ray Train's name of the run, and of its folder."""
_KEPT = "kept"
_LAST_FILE = "state.json"
"""File of a training checkpoint that is written last (`uniaudio.training.checkpoint`): with it the folder is whole."""
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
    def new_checkpoint(self, name: str) -> Iterator[Path]:
        """A local folder for this worker's files of a training checkpoint; at the end they are in Ray Train's folder `name`, which
        no run goes on from before all workers have reported it."""
        if self._local is not None:
            yield self._local / RUN / name
            return
        from pyarrow.fs import LocalFileSystem, copy_files

        storage_path, filesystem = self.storage()
        with self.scratch() as scratch:
            yield scratch
            copy_files(
                str(scratch),
                f"{storage_path}/{RUN}/{name}",
                source_filesystem=LocalFileSystem(),
                destination_filesystem=filesystem,
            )

    def keep(self, name: str, part: str, step: int) -> None:
        """A copy of Ray Train's checkpoint `name`, whole or not at all."""
        source, target = f"{self._path}/{RUN}/{name}", f"{self._path}/{_KEPT}/{_kept_name(part, step)}"
        if self._local is not None:
            with self.scratch() as scratch:
                shutil.copytree(self._store.root / source, scratch / name, copy_function=_link)  # type: ignore[operator]
                self.let_go(part, step)
                (self._local / _KEPT).mkdir(exist_ok=True)
                (scratch / name).replace(self._store.root / target)  # type: ignore[operator]
            return
        self.let_go(part, step)
        paths = sorted(
            (entry.path for entry in self._files.entries(source)), key=lambda path: (path.endswith(_LAST_FILE), path)
        )
        for path in paths:
            with self._files.temporary(self._path) as temporary:
                self._files.copy_to(path, temporary.file)
                temporary.commit(f"{target}/{path.rpartition('/')[2]}")

    def kept(self, part: str) -> set[int]:
        """Steps of the copies of a part."""
        paths = [entry.path.split("/") for entry in self._files.entries(f"{self._path}/{_KEPT}")]
        names = {folder for *_, folder, file in paths if file == _LAST_FILE}
        return {int(step) for of, _, step in (name.rpartition("-") for name in names) if of == part}

    def let_go(self, part: str, step: int) -> None:
        """Remove a kept checkpoint, if there is one."""
        path = f"{self._path}/{_KEPT}/{_kept_name(part, step)}"
        if self._local is not None:
            shutil.rmtree(self._local / _KEPT / _kept_name(part, step), ignore_errors=True)
            return
        # The state first: without it the rest is nothing.
        paths = [entry.path for entry in self._files.entries(path)]
        self._files.delete(f"{path}/{_LAST_FILE}")
        self._files.delete_all(paths)

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
            return self._local / "final", self._local / "final"
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
        """Context in which `show` is given each new state within a second, from a thread of its own, and the last one at the end."""
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
        """Remove all but the copies that stay, once the result is published."""
        if self._local is not None:
            for path in self._local.iterdir() if self._local.is_dir() else ():
                if path.name != _KEPT:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it holds copies
                self._local.rmdir()
            return
        prefix = f"{self._path}/{_KEPT}/"
        paths = [entry.path for entry in self._files.entries(self._path)]
        self._files.delete_all([path for path in paths if not path.startswith(prefix)])


def steps_on_ranks(result: dict[str, Any]) -> dict[str, float]:
    """Statistics of a version, from what its training left in the final folder."""
    counts = result.get("steps_by_world_size", {})
    return {f"{RANKS_STATISTIC}{ranks}": float(steps) for ranks, steps in sorted(counts.items())}


def _kept_name(part: str, step: int) -> str:
    return f"{part}-{step:08d}"


def _link(source: str, target: str) -> None:
    """A second name where the filesystem has them: a checkpoint is never written to again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
