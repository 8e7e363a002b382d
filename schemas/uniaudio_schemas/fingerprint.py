"""Hashes of contents (sha256), and the numerics under which codes were computed."""

import hashlib
import json
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UsageError

_BLOCK_BYTES = 1 << 20
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
"""Made once: ids are hashes of JSON, and there are millions of them."""


def hash_bytes(data: bytes | bytearray | memoryview) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: str | Path) -> str:
    """64 hex digits of the file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, no NaN."""
    try:
        return _CANONICAL.encode(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"`value` must be JSON with finite numbers, but {error}.") from error


def hash_json(value: Any) -> str:
    """64 hex digits of the canonical JSON."""
    return hash_bytes(canonical_json(value).encode())


def short(digest: str) -> str:
    """First 32 hex digits: the length of every id in the store."""
    return digest[:32]


def numerics(device: str = "cpu", dtype: str = "float32") -> str:
    """Name of the arithmetic here, such as `cpu-float32-avx512-torch2.13.0-transformers5.23.0`.

    Equal names give equal codes; of unequal ones it is measured. Reads package metadata and the processor's flags; loads
    neither package.
    """
    kind = device.split(":", maxsplit=1)[0]
    chip = _gpu_model() if kind == "cuda" else _instruction_set()
    parts = [kind, dtype, chip]
    for package in ("torch", "transformers"):
        version = _version(package)
        if version:
            parts.append(f"{package}{version}")
    return "-".join(parts)


def _version(package: str) -> str:
    """Version of a package without its local part: `2.13.0+cpu` and `2.13.0` are one release."""
    try:
        return metadata.version(package).split("+")[0]
    except metadata.PackageNotFoundError:
        return ""


def _instruction_set() -> str:
    """The widest vector set that torch's kernels choose from on this processor."""
    forced = os.environ.get("ATEN_CPU_CAPABILITY", "")
    if forced:
        return forced.lower()
    machine = platform.machine().lower()
    if machine not in ("x86_64", "amd64"):
        return machine or "unknown"
    flags = _cpu_flags()
    # torch takes its AVX-512 kernels only where all three are there (aten/src/ATen/native/DispatchStub.cpp).
    if {"avx512f", "avx512bw", "avx512vl"} <= flags:
        return "avx512"
    return "avx2" if {"avx2", "fma"} <= flags else "x86_64"


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    match = re.search(r"^flags\s*:\s*(.*)$", text, flags=re.MULTILINE)
    return set(match.group(1).split()) if match else set()


def _gpu_model() -> str:
    """Model of the GPU by the driver's own files; `gpu` where these are missing."""
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(r"^Model:\s*(.*)$", path.read_text(), flags=re.MULTILINE)
        if match:
            return re.sub(r"[^a-z0-9]+", "_", match.group(1).lower()).strip("_")
    return "gpu"
