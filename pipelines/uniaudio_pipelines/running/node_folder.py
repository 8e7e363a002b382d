"""A folder that the workers of one machine share: what one of them has made, none makes again.

A worker that is killed leaves nothing behind that another could take for finished: what is made is renamed into place.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


class InUse:
    """Marks a folder as in use while this process lives, and removes those beside it that nobody uses any more."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._mark = (folder / ".in-use").open("w")
        fcntl.flock(self._mark, fcntl.LOCK_SH)
        for other in folder.parent.iterdir():
            if other != folder and other.is_dir():
                _remove_unused(other)


def _remove_unused(folder: Path) -> None:
    mark = folder / ".in-use"
    if not mark.exists():
        return
    with mark.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(folder, ignore_errors=True)


class NodeFolder:
    """`path` and the things in it that are made once."""

    def __init__(self, path: Path) -> None:
        self._in_use = InUse(path)
        self.path = path

    def once(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder `name`, filled by `make` in whichever process comes first; the others wait."""
        path = self.path / name
        if path.exists():
            return path
        with (self.path / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path
            # Of processes that were killed: they would hold the lock if they lived.
            for left in self.path.glob(f"{name}.making-*"):
                shutil.rmtree(left, ignore_errors=True)
            temporary = self.path / f"{name}.making-{os.getpid()}"
            temporary.mkdir()
            make(temporary)
            temporary.replace(path)
        return path
