"""Which weights an annotator answers with, by their bytes: a plan names them, so that other weights in the same folder are another plan.

    weights_id(Path("data/models"), ("whisper-base/*.pt",))       -> "5f3ab2c91d04"

A file is hashed once and remembered by its path, size and time of change, in the cache of this user: to plan is quick.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.fingerprint import hash_file, hash_json
from uniaudio_schemas.store.cache import private_folder, user_cache

MISSING = "missing"
"""Id of weights that are not there: whoever loads them is told how to get them."""
_DIGITS = 12
_known: dict[tuple[str, int, int], str] = {}


def weights_id(models: Path, patterns: Sequence[str]) -> str:
    """Hash over the names and bytes of all files below `models` that match one of the patterns."""
    files = sorted({path for pattern in patterns for path in models.glob(pattern) if path.is_file()})
    if not files:
        return MISSING
    return hash_json([[path.relative_to(models).as_posix(), file_sha256(path)] for path in files])[:_DIGITS]


def file_sha256(path: Path) -> str:
    """Hashed where the file is new or was changed."""
    real = path.resolve()
    status = real.stat()
    key = (str(real), status.st_size, status.st_mtime_ns)
    if key not in _known:
        _known[key] = _remembered(key) or _hashed(key)
    return _known[key]


def _remembered(key: tuple[str, int, int]) -> str | None:
    with suppress(OSError, ValueError, KeyError, TypeError, StoreError):
        record = json.loads(_record(key[0]).read_text())
        if record["size"] == key[1] and record["mtime_ns"] == key[2]:
            return str(record["sha256"])
    return None


def _hashed(key: tuple[str, int, int]) -> str:
    sha256 = hash_file(key[0])
    # Without a folder of its own on this machine it is hashed each time.
    with suppress(OSError, StoreError):
        record = _record(key[0])
        unfinished = record.with_name(f".{record.name}-{os.getpid()}")
        unfinished.write_text(json.dumps({"size": key[1], "mtime_ns": key[2], "sha256": sha256}))
        unfinished.replace(record)
    return sha256


def _record(path: str) -> Path:
    return private_folder(private_folder(user_cache()) / "weights") / f"{hash_json(path)[:32]}.json"
