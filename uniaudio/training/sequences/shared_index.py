"""The index of a version of sequences as one file that the processes of a host share; made by the first that asks for it.

Writes   <store>/cache/sequences/<key>.arrow, or below `~/.cache/uniaudio` where the store is remote or cannot be written
"""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import hash_json, short
from uniaudio_schemas.store import layout
from uniaudio_schemas.store.cache import private_folder, user_cache
from uniaudio_schemas.store.collect import ABANDONED_S
from uniaudio_schemas.store.files import TEMPORARY_PREFIX

from uniaudio.training.sequences.index import FORMAT, SequenceIndex, write_index

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store
    from uniaudio_schemas.store.manifest import Manifest


def index_key(manifest: "Manifest") -> str:
    """32 hex digits over the contents and the shards that they lie in."""
    return short(hash_json([FORMAT, manifest.content_id, [shard.sha256 for shard in manifest.shards]]))


def index_folder(store: "Store") -> Path:
    """Where this user may keep it."""
    if isinstance(store.root, Path):
        folder = store.root / layout.CACHE / "sequences"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return private_folder(private_folder(user_cache()) / "sequences")


def shared_index(folder: Path, key: str, build: Callable[[], pa.RecordBatch]) -> SequenceIndex:
    """Opened; where it is not there or torn, built first. `alone` must be held."""
    path = folder / f"{key}.arrow"
    try:
        index = SequenceIndex.open(path, key)
        os.utime(path)
        return index
    except DataError:
        _remove_old(folder)
        temporary = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        try:
            with temporary.open("xb") as file:
                write_index(build(), file)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        return SequenceIndex.open(path, key)


@contextlib.contextmanager
def alone(folder: Path, key: str) -> Iterator[None]:
    """One process of the host at a time; the others wait, for as long as it lives."""
    descriptor = os.open(folder / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_old(folder: Path) -> None:
    """What nobody opened for so long. Who has it mapped keeps it."""
    for path in folder.glob("*.arrow"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()
