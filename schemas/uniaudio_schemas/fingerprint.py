"""Hashes of contents, and the numerics string: what besides a clip and a codec decides its codes."""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LIBRARIES = ("torch", "transformers")
# Widest first: the instruction set decides how float32 sums are ordered.
_INSTRUCTION_SETS = ("amx_tile", "avx512f", "avx2", "asimd", "sse4_2")


def hash_bytes(data: bytes) -> str:
    """sha256 as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: str | Path) -> str:
    """sha256 of a file's bytes as 64 hex digits; memory flat in its size."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON that is equal for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_json(value: Any) -> str:
    """sha256 of the canonical JSON as 64 hex digits."""
    return hash_bytes(canonical_json(value).encode())


def short(digest: str) -> str:
    """The first 32 hex digits: 128 bits, enough for an id."""
    return digest[:32]


def numerics(device: str = "cpu", dtype: str = "float32") -> str:
    """Device kind, dtype, instruction set and library versions, such as `cpu-float32-avx512f-torch2.13.0-transformers5.23.0`.

    Read from package metadata and the kernel, without importing torch, so that a flow can plan with it.
    """
    libraries = "-".join(f"{name}{_version(name)}" for name in _LIBRARIES)
    instructions = _instruction_set() if device == "cpu" else "native"
    return f"{device}-{dtype}-{instructions}-{libraries}"


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return "none"


def _instruction_set() -> str:
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return "unknown"
    return next((name for name in _INSTRUCTION_SETS if name in words), "baseline")
