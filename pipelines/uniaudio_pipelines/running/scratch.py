"""Folders for what a process needs only while it lives. One that was killed cannot remove its own: the next one on the machine does.

/tmp/uniaudio-raw-3fa2-81442-9c01d7e3-0/shard.tar      machine, process id, process, count
"""

import itertools
import os
import re
import shutil
import tempfile
import weakref
from pathlib import Path

from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.store.processes import process_identity

_NAME = re.compile(r"uniaudio-[a-z]+-(?P<stamp>[0-9a-f]{4}-(?P<pid>\d+)-[0-9a-f]{8})-\d+")
_count = itertools.count()


class ScratchFolder:
    """`name` is its path. It goes at the end of a `with`, with the object, with the process, or with the next one on this machine."""

    def __init__(self, name: str, below: str | Path | None = None) -> None:
        """`below`: by default the folder for temporary files."""
        place = Path(below or tempfile.gettempdir())
        sweep(place)
        path = place / f"uniaudio-{name}-{_stamp(os.getpid())}-{next(_count)}"
        path.mkdir(mode=0o700)
        self.name = str(path)
        self._end = weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    def cleanup(self) -> None:
        """Remove the folder; it may be called more than once."""
        self._end()


def sweep(place: Path) -> None:
    """Remove the folders of this user's processes that are gone."""
    own = _stamp(os.getpid())
    for entry in os.scandir(place):
        match = _NAME.fullmatch(entry.name)
        if match is None or entry.is_symlink() or entry.stat(follow_symlinks=False).st_uid != os.getuid():
            continue
        is_of_this_machine = match["stamp"][:4] == own[:4]
        if is_of_this_machine and match["stamp"] != _stamp(int(match["pid"])):
            shutil.rmtree(entry.path, ignore_errors=True)


def _stamp(pid: int) -> str:
    """Stamp of a process, another one once the process is gone. It is short, since Ray's sockets lie below such a folder."""
    machine = process_identity().rsplit(":", 2)[0]
    return f"{hash_bytes(machine.encode())[:4]}-{pid}-{hash_bytes(process_identity(pid).encode())[:8]}"
