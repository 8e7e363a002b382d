"""Garbage: what no ref needs, directly or as an ancestor.

Kept are versions behind a ref and their ancestors (by content id), the units that unfinished runs have finished, and every
lease (its token must go on counting). While any run is alive no shard and no blob is garbage: it may be about to name one.
What a training run keeps (`train/<plan id>`) is garbage once its plan is published, and so are, of dead runs, the files of it
and of `cache/` that are old.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from uniaudio_schemas.kinds.record import SCHEMAS
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.store import layout
from uniaudio_schemas.store.files import TEMPORARY_PREFIX, FileEntry
from uniaudio_schemas.store.forgotten import replacements
from uniaudio_schemas.store.lease import STORE_LOCK, read_lease
from uniaudio_schemas.store.manifest import Manifest, ShardInfo

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

ABANDONED_S = 30 * 24 * 3600
"""Finished units, training runs and caches that were not touched for so long, of versions that nobody published, are
garbage."""


def collect(store: "Store", *, dry_run: bool) -> list[Path]:
    """Paths of all garbage, sorted. Nobody can add to the store meanwhile."""
    with store.files.lock(STORE_LOCK, exclusive=True):
        garbage = sorted(_garbage(store))
        if not dry_run:
            # Manifests first: a kill in between leaves files that nothing names, never a manifest that names nothing.
            for path in sorted(garbage, key=lambda path: ("/versions/" not in path, path)):
                store.files.delete(path)
            for folder in _emptied(garbage):
                store.files.delete(folder)
    return [Path(store.root) / path for path in garbage]


def _garbage(store: "Store") -> set[str]:
    versions = [manifest for kind in _kinds(store) for manifest in store.versions(kind)]
    needed = _needed(store, [head for kind in _kinds(store) for head in store.refs(kind).values()], versions)
    unneeded = [manifest for manifest in versions if manifest not in needed]
    return {layout.version_path(manifest.kind, manifest.plan_id) for manifest in unneeded} | leftovers(store, needed)


def _kinds(store: "Store") -> list[str]:
    return sorted({kind for kind, _ in SCHEMAS} & set(store.files.folders()))


def live_plans(store: "Store") -> set[tuple[str, str]]:
    """(kind, plan id) of every run that is alive."""
    return _live_plans(store, [entry for kind in _kinds(store) for entry in store.files.entries(f"{kind}/leases")])


def leftovers(store: "Store", needed: list[Manifest]) -> set[str]:
    """Paths of temporary files, staged units that are over, and what neither `needed` nor another staged unit names."""
    versions = [manifest for kind in _kinds(store) for manifest in store.versions(kind)]
    folders = (*_kinds(store), layout.BLOBS, layout.RUNS, layout.FORGOTTEN)
    entries = [entry for folder in folders for entry in store.files.entries(folder)]
    live, garbage = _live_plans(store, entries), set[str]()
    staged: list[ShardInfo] = []
    for entry in entries:
        kind, _, rest = entry.path.partition("/staging/")
        plan = (kind, rest.partition("/")[0])
        is_temporary = entry.path.rpartition("/")[2].startswith(TEMPORARY_PREFIX)
        if plan in live:
            continue
        if is_temporary or (rest and _is_over(entry, plan, versions)):
            garbage.add(entry.path)
        elif rest.endswith(".json"):
            staged.append(_record(store, entry))
    garbage |= _leftovers(store, {plan_id for _, plan_id in live}, {manifest.plan_id for manifest in versions})
    if not live:
        garbage |= _unnamed(entries, [*staged, *(shard for manifest in needed for shard in manifest.shards)])
    return garbage


def _leftovers(store: "Store", live: set[str], published: set[str]) -> set[str]:
    """Files of training runs and caches that no live run may want again."""
    old = time.time() - ABANDONED_S
    runs: dict[str, list[FileEntry]] = {}
    for entry in store.files.entries(layout.TRAIN):
        runs.setdefault(entry.path.split("/")[1], []).append(entry)
    over = [
        entries
        for plan_id, entries in runs.items()
        if plan_id not in live and (plan_id in published or max(entry.modified_at for entry in entries) < old)
    ]
    cached = [] if live else [entry for entry in store.files.entries(layout.CACHE) if entry.modified_at < old]
    return {entry.path for entries in (*over, cached) for entry in entries}


def _emptied(garbage: list[str]) -> list[str]:
    """The folders that go with their files, inner ones first; one that still holds something stays when it is deleted."""
    folders = {path.rpartition("/")[0] for path in garbage if "/staging/" in path}
    for path in garbage:
        parts = path.split("/")
        if parts[0] == layout.TRAIN:
            folders |= {"/".join(parts[:depth]) for depth in range(2, len(parts))}
    return sorted(folders, reverse=True)


def _needed(store: "Store", heads: list[Manifest], versions: list[Manifest]) -> list[Manifest]:
    """Heads and their ancestors; what is left of an ancestor where some of it was forgotten."""
    replaced = replacements(store)
    queue, needed = list(heads), list[Manifest]()
    while queue:
        manifest = queue.pop()
        if manifest not in needed:
            needed.append(manifest)
            parents = set(manifest.parents.values())
            parents |= {replaced.get((kind, content), content) for kind, content in manifest.parents.items()}
            queue += [version for version in versions if version.content_id in parents]
    return needed


def _live_plans(store: "Store", entries: list[FileEntry]) -> set[tuple[str, str]]:
    live = set()
    for entry in entries:
        kind, found, name = entry.path.partition("/leases/")
        plan_id = name.removesuffix(".json")
        if found and plan_id != name and not name.startswith(TEMPORARY_PREFIX):
            lease = read_lease(store.files, kind, plan_id)
            if lease is not None and lease.live:
                live.add((kind, plan_id))
    return live


def _is_over(entry: FileEntry, plan: tuple[str, str], versions: list[Manifest]) -> bool:
    published = any((manifest.kind, manifest.plan_id) == plan for manifest in versions)
    return published or entry.modified_at < time.time() - ABANDONED_S


def _record(store: "Store", entry: FileEntry) -> ShardInfo:
    return from_json(ShardInfo, store.files.read(entry.path) or b"", f"{store.root}/{entry.path}")


def _unnamed(entries: list[FileEntry], shards: list[ShardInfo]) -> set[str]:
    """Shards and blobs that none of `shards` names."""
    names = {name for shard in shards for name in (shard.sha256, shard.dropped_sha256, *shard.blobs)}
    found = set()
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        is_content = folder.endswith("/shards") or folder.startswith(f"{layout.BLOBS}/")
        if is_content and name.removesuffix(".arrow") not in names:
            found.add(entry.path)
    return found
