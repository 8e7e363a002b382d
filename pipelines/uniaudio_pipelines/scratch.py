"""Folders for what a worker needs only while it lives. A worker that was killed cannot remove its own: the next one on the machine does.

/tmp/uniaudio-raw-<identity of the process>-k3x9/shard.tar
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from uniaudio_schemas.store.lease import process_identity, process_lives

_PREFIX = "uniaudio-"
_NAME = re.compile(rf"{_PREFIX}[a-z]+-(?P<identity>[0-9a-f-]+_\d+_\d+_\d+)-[^-]+")


def scratch_folder(name: str) -> "tempfile.TemporaryDirectory[str]":
    """A folder of this process, which goes with the object, with the process, or with the next call of anybody on this machine."""
    sweep()
    identity = process_identity().replace(":", "_")
    return tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{name}-{identity}-")


def sweep() -> None:
    """Remove the folders of this user's processes that are gone."""
    for entry in os.scandir(tempfile.gettempdir()):
        found = _NAME.fullmatch(entry.name)
        if found is None or entry.is_symlink() or entry.stat(follow_symlinks=False).st_uid != os.getuid():
            continue
        if process_lives(found["identity"].replace("_", ":")) is False:
            shutil.rmtree(Path(entry.path), ignore_errors=True)
