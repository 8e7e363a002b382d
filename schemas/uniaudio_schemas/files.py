"""Atomic files on a local filesystem, the one place where bytes of the store are written.

A file appears whole or not at all: temporary name, fsync, rename, fsync of the folder. An object store would put a file in one request
and swap a pointer by a conditional request; a class with these methods is all that it needs.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from uniaudio_schemas.errors import StoreError

TEMPORARY_PREFIX = ".part-"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LocalFiles:
    """Files below `root`. Every path that is taken or given is relative to it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, relative: str) -> Path:
        return self.root / relative

    def write(self, relative: str, fill: Callable[[BinaryIO], None]) -> None:
        """Write a file atomically, replacing one that is there. StoreError where the disk is full; nothing is left behind then."""
        target = self.root / relative
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).chmod(0o644)
                Path(name).replace(target)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            _sync_folder(target.parent)
        except OSError as error:
            raise self.explain(error) from error

    def write_bytes(self, relative: str, data: bytes) -> None:
        self.write(relative, lambda file: file.write(data) and None)

    def read_text(self, relative: str) -> str | None:
        """None where there is no such file."""
        try:
            return (self.root / relative).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def exists(self, relative: str) -> bool:
        return (self.root / relative).exists()

    def remove(self, relative: str) -> None:
        (self.root / relative).unlink(missing_ok=True)

    def remove_folder(self, relative: str) -> None:
        shutil.rmtree(self.root / relative, ignore_errors=True)

    def list(self, folder: str, suffix: str) -> list[str]:
        """Names in a folder that end in `suffix`, sorted; empty where there is no folder."""
        try:
            return sorted(
                path.name
                for path in (self.root / folder).iterdir()
                if path.name.endswith(suffix) and not path.name.startswith(TEMPORARY_PREFIX)
            )
        except FileNotFoundError:
            return []

    def explain(self, error: OSError) -> Exception:
        if error.errno in _NO_SPACE:
            free = shutil.disk_usage(self.root).free if self.root.exists() else 0
            return StoreError(f"the disk of the store {self.root} is full ({free / 2**20:.0f} MiB free): make room and run again, finished shards are kept.")
        return StoreError(f"the store {self.root} cannot be written: {error.strerror or error}")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
