"""What a job is: a frozen dataclass of plain values that plans a version from manifests alone. Light: neither torch
nor ray."""

import dataclasses
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_bytes, hash_file, hash_json
from uniaudio_schemas.names import is_hash
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.store import Store, layout
from uniaudio_schemas.store.cache import private_folder, user_cache
from uniaudio_schemas.store.manifest import Manifest, Plan

_PLAN_ID_LENGTH = 32


class Job(Protocol):
    """One run of an edge. Fields hold JSON values, tuples of them, or other such dataclasses."""

    EDGE: ClassVar[str]
    """Package of the edge, such as `raw_to_annotated`."""
    WRITES: ClassVar[str]
    """Kind of the version it makes."""
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def ref(self) -> str:
        """Pointer to swap to the finished version; "latest" by default."""
        ...

    def plan(self, store: Store) -> Plan:
        """Plan of the job from manifests alone (the source edge: from file names and hashes). A missing parent is a `UsageError`."""
        ...

    def resources(self) -> dict[str, float]:
        """Resources of one worker: `num_cpus`, `num_gpus`."""
        ...


@runtime_checkable
class PointsMore(Protocol):
    """A job of several stages, whose pointers other than `ref` have versions of their own."""

    def refs(self, store: Store) -> dict[str, Manifest]:
        """Pointer -> the version behind it."""
        ...


J = TypeVar("J", bound=Job)


def job_to_json(job: Job) -> str:
    """Canonical JSON of a job's fields."""
    return json.dumps(dataclasses.asdict(job), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def job_from_json(job_class: type[J], text: str) -> J:
    """The inverse of `job_to_json`; fields that are left out take their defaults, unknown ones are a `UsageError`."""
    return from_json(job_class, text, "`job`", error=UsageError)


def check_device(device: str, num_gpus: float) -> None:
    """A worker may reserve a GPU that it leaves alone, as tests do; it may not use one that it has not reserved."""
    if device not in ("cpu", "cuda"):
        raise UsageError(f"`device` must be cpu or cuda, but is {device!r}.")
    if num_gpus < 0 or (device == "cuda" and not num_gpus):
        raise UsageError(f"`num_gpus` must be more than 0 on cuda, and never less, but is {num_gpus}.")


def check_group(device: str, num_gpus: float, num_workers: int) -> None:
    """Workers that train together on cards have one or more each: two ranks of NCCL on one card fail."""
    if device == "cuda" and num_workers > 1 and num_gpus % 1:
        raise UsageError(f"`num_gpus` must be a whole number where several workers train together, but is {num_gpus}.")


def cache_folder(store: Store) -> Path:
    """Folder where an edge may keep what it can compute again: below a local store, so that it goes when the store goes, else in a folder
    of this machine that only this user can write."""
    if isinstance(store.root, Path):
        return store.root / layout.CACHE
    return private_folder(private_folder(user_cache()) / f"edges-{hash_bytes(store.root.encode())[:16]}")


def hash_folder(folder: str, field: str) -> str:
    """Hash of the names and bytes of a model's files, wherever they lie. `field` is the field of a job that names the folder."""
    if not Path(folder).is_dir():
        raise UsageError(f"`{field}` must be a local folder, but {folder} is none.")
    files = [path for path in sorted(Path(folder).iterdir()) if path.is_file()]
    return hash_json({path.name: _hash_unchanged(path, path.stat().st_size, path.stat().st_mtime_ns) for path in files})


@lru_cache(maxsize=256)
def _hash_unchanged(path: Path, size: int, changed_ns: int) -> str:
    """A job is planned before each of its stages: gigabytes are read once a process."""
    return hash_file(path)


def parent(store: Store, kind: str, flow: str, ref: str = "latest") -> Manifest:
    """The version of `kind` behind `ref`, or the one whose plan id that is; where there is none, a `UsageError` that says which flow makes
    it."""
    manifest = store.head(kind, ref) or (store.version(kind, ref) if is_hash(ref, _PLAN_ID_LENGTH) else None)
    if manifest is None:
        raise UsageError(
            f"`{kind}` has no version behind `{ref}` yet: run `prefect deployment run {flow}/local` first."
        )
    return manifest
