"""Garbage: what no ref needs, directly or as an ancestor.

Kept are versions behind a ref and their ancestors (by content id), the units that unfinished runs have finished, and every
lease (its token must go on counting). While any run is alive no version, shard or blob is garbage: it may be about to name one.
What a training run keeps (`train/<plan id>`) is garbage once its plan is published, and so are, of dead runs, the files of it
and of `cache/` that are old.
"""

import time
from functools import partial
from typing import TYPE_CHECKING

from uniaudio_schemas.kinds.record import SCHEMAS
from uniaudio_schemas.store import kept_hashes, layout
from uniaudio_schemas.store.files import TEMPORARY_PREFIX, FileEntry
from uniaudio_schemas.store.forgotten import replacements
from uniaudio_schemas.store.lease import STORE_LOCK, read_lease
from uniaudio_schemas.store.manifest import Manifest, ShardInfo
from uniaudio_schemas.store.units import SUFFIX, read_unit

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

ABANDONED_S = 30 * 24 * 3600
"""Finished units, training runs and caches that were not touched for so long, of versions that nobody published, are
garbage."""


UPLOAD_S = 3600
"""An unfinished upload of a large file that began earlier, while no run is alive, is nobody's."""


def collect(store: "Store", *, dry_run: bool) -> list[str]:
    """Addresses of all garbage, sorted. Nobody can add to the store meanwhile; a run that begins waits for the end."""
    with store.files.lock(STORE_LOCK, exclusive=True):
        garbage, is_live = _garbage(store)
        uploads = [] if is_live else store.files.unfinished_uploads(time.time() - UPLOAD_S)
        if not dry_run:
            # Manifests first: a kill in between leaves files that nothing names, never a manifest that names nothing.
            store.files.delete_all(path for path in garbage if "/versions/" in path)
            store.files.delete_all(path for path in garbage if "/versions/" not in path)
            store.files.delete_all(_emptied(garbage) if store.files.fences else [])
            for name in uploads:
                store.files.abort_upload(name)
    return sorted([f"{store.root}/{path}" for path in garbage] + [f"unfinished upload {name}" for name in uploads])


def _garbage(store: "Store") -> tuple[list[str], bool]:
    """Paths of the garbage, and whether a run is alive: then every version is needed, since the run may be about to name it as a parent."""
    is_live = bool(live_plans(store))
    versions = [manifest for kind in _kinds(store) for manifest in store.versions(kind)]
    heads = versions if is_live else [head for kind in _kinds(store) for head in store.refs(kind).values()]
    needed = _needed(store, heads, versions)
    needed_ids = {(manifest.kind, manifest.plan_id) for manifest in needed}
    unneeded = [manifest for manifest in versions if (manifest.kind, manifest.plan_id) not in needed_ids]
    paths = {layout.version_path(manifest.kind, manifest.plan_id) for manifest in unneeded}
    return sorted(paths | leftovers(store, needed)), is_live


def _kinds(store: "Store") -> list[str]:
    return sorted({kind for kind, _ in SCHEMAS} & set(store.files.folders()))


def live_plans(store: "Store") -> set[tuple[str, str]]:
    """(kind, plan id) of every run that is alive."""
    return _live_plans(store, [entry for kind in _kinds(store) for entry in store.files.entries(f"{kind}/leases")])


def leftovers(store: "Store", needed: list[Manifest]) -> set[str]:
    """Paths of temporary files, staged units that are over, and what neither `needed` nor another staged unit names."""
    versions = {(kind, plan_id) for kind in _kinds(store) for plan_id in store.plan_ids(kind)}
    folders = (*_kinds(store), layout.BLOBS, layout.RUNS, layout.FORGOTTEN)
    entries = [entry for folder in folders for entry in store.files.entries(folder)]
    live, garbage, staged = _live_plans(store, entries), set[str](), list[str]()
    old = time.time() - ABANDONED_S
    for entry in entries:
        kind, _, rest = entry.path.partition("/staging/")
        plan = (kind, rest.partition("/")[0])
        is_temporary = entry.path.rpartition("/")[2].startswith(TEMPORARY_PREFIX)
        if plan in live:
            continue
        if is_temporary or (rest and (plan in versions or entry.modified_at < old)):
            garbage.add(entry.path)
        elif rest.endswith(SUFFIX):
            staged.append(entry.path)
    garbage |= _leftovers(store, {plan_id for _, plan_id in live}, {plan_id for _, plan_id in versions})
    if not live:
        units = [unit.shard for unit in store.files.each(partial(read_unit, store.files), staged) if unit]
        named_shards = [*units, *(shard for manifest in needed for shard in manifest.shards)]
        garbage |= _unnamed(entries, named_shards)
        shards = {shard.sha256 for shard in named_shards}
        garbage.update(path for kind in _kinds(store) for path in kept_hashes.unneeded(store.files, kind, shards))
    return garbage


def _leftovers(store: "Store", live: set[str], published: set[str]) -> set[str]:
    """Files of training runs and caches that no live run may want again."""
    old = time.time() - ABANDONED_S
    runs: dict[str, list[FileEntry]] = {}
    for entry in store.files.entries(layout.TRAIN):
        runs.setdefault(entry.path.removeprefix(f"{layout.TRAIN}/").partition("/")[0], []).append(entry)
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
    with_content: dict[str, list[Manifest]] = {}
    for manifest in versions:
        with_content.setdefault(manifest.content_id, []).append(manifest)
    queue, needed = list(heads), dict[tuple[str, str], Manifest]()
    while queue:
        manifest = queue.pop()
        if (manifest.kind, manifest.plan_id) not in needed:
            needed[(manifest.kind, manifest.plan_id)] = manifest
            parents = set(manifest.parents.values())
            parents |= {replaced.get((kind, content), content) for kind, content in manifest.parents.items()}
            queue += [version for content in parents for version in with_content.get(content, [])]
    return list(needed.values())


def _live_plans(store: "Store", entries: list[FileEntry]) -> set[tuple[str, str]]:
    plans = []
    for entry in entries:
        kind, separator, name = entry.path.partition("/leases/")
        plan_id = name.removesuffix(".json")
        if separator and plan_id != name and not name.startswith(TEMPORARY_PREFIX):
            plans.append((kind, plan_id))
    leases = store.files.each(lambda plan: read_lease(store.files, *plan), plans)
    return {plan for plan, lease in zip(plans, leases, strict=True) if lease is not None and lease.live}


def _unnamed(entries: list[FileEntry], shards: list[ShardInfo]) -> set[str]:
    """Shards and blobs that none of `shards` names."""
    names = {name for shard in shards for name in (shard.sha256, shard.dropped_sha256, *shard.blobs)}
    paths = set()
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        is_content = folder.endswith("/shards") or folder.startswith(f"{layout.BLOBS}/")
        if is_content and name.removesuffix(".arrow") not in names:
            paths.add(entry.path)
    return paths
