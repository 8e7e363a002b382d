"""Published versions, each parsed once a process: the file of a version never changes, so its size and time tell that it is the same.

`MAX_SHARDS` bounds what is kept. Ids, which are all that looking for contents needs, are kept of
every version and are read without building its shards.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.store import layout
from uniaudio_schemas.store.files import FileEntry, Files, Seen
from uniaudio_schemas.store.manifest import Manifest

MAX_SHARDS = 250_000


@dataclass(frozen=True, kw_only=True)
class VersionIds:
    plan_id: str
    content_id: str


_lock = threading.Lock()
_manifests: OrderedDict[tuple[str, FileEntry], Manifest] = OrderedDict()
_num_shards = 0
_ids: dict[tuple[str, FileEntry], VersionIds] = {}


def version(files: Files, kind: str, plan_id: str) -> Manifest | None:
    """The published version of a plan."""
    entry = files.entry(layout.version_path(kind, plan_id))
    return None if entry is None else _manifest(files, entry)


def versions(files: Files, kind: str) -> list[Manifest]:
    """All of them, by plan id."""
    manifests = files.each(lambda entry: _manifest(files, entry), _entries(files, kind))
    return [manifest for manifest in manifests if manifest is not None]


def plan_ids(files: Files, kind: str) -> list[str]:
    return [_plan_id(entry) for entry in _entries(files, kind)]


def with_content(files: Files, kind: str, content_ids: Collection[str]) -> Manifest | None:
    """The first by plan id that has one of these contents."""
    entries = _entries(files, kind)
    for entry, ids in zip(entries, files.each(lambda entry: _ids_of(files, entry), entries), strict=True):
        if ids is not None and ids.content_id in content_ids and (manifest := _manifest(files, entry)):
            return manifest
    return None


def _entries(files: Files, kind: str) -> list[FileEntry]:
    entries: Iterable[FileEntry] = files.entries(f"{kind}/versions")
    return [entry for entry in entries if entry.path.endswith(".json") and not _plan_id(entry).startswith(".")]


def _plan_id(entry: FileEntry) -> str:
    return entry.path.rpartition("/")[2].removesuffix(".json")


def _manifest(files: Files, entry: FileEntry) -> Manifest | None:
    global _num_shards
    key = (str(files.root), entry)
    with _lock:
        if key in _manifests:
            _manifests.move_to_end(key)
            return _manifests[key]
    manifest = files.load(entry.path, lambda seen: Manifest.from_json(seen.data, f"{files.root}/{entry.path}"))
    if manifest is not None:
        with _lock:
            _num_shards += len(manifest.shards) if key not in _manifests else 0
            _manifests[key] = manifest
            _ids[key] = VersionIds(plan_id=manifest.plan_id, content_id=manifest.content_id)
            while len(_manifests) > 1 and _num_shards > MAX_SHARDS:
                _num_shards -= len(_manifests.popitem(last=False)[1].shards)
    return manifest


def _ids_of(files: Files, entry: FileEntry) -> VersionIds | None:
    key = (str(files.root), entry)
    with _lock:
        if key in _ids:
            return _ids[key]
    where = f"{files.root}/{entry.path}"

    def parse(seen: Seen) -> VersionIds:
        try:
            values = json.loads(seen.data)
            return VersionIds(plan_id=str(values["plan_id"]), content_id=str(values["content_id"]))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{where}: no manifest ({error!r}).") from error

    ids = files.load(entry.path, parse)
    if ids is not None:
        with _lock:
            _ids[key] = ids
    return ids
