"""What may be removed from a store: versions that no ref needs, leftovers of writes that were killed, shards and blobs that no version names.

A version behind a ref needs its ancestors (lineage), found by content id. Staged shards of unfinished versions are kept.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from uniaudio_schemas.files import TEMPORARY_PREFIX
from uniaudio_schemas.manifest import Manifest, ShardInfo

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store


def collect(store: "Store", *, dry_run: bool) -> list[Path]:
    from uniaudio_schemas.store import KINDS

    versions = {kind: store.versions(kind) for kind in KINDS}
    kept = _needed(store, versions)
    shards, blobs = _named(store, [manifest for manifests in kept.values() for manifest in manifests])
    garbage = [path for path in store.root.rglob(f"{TEMPORARY_PREFIX}*") if path.is_file()]
    for kind in KINDS:
        names = {manifest.plan_id for manifest in kept[kind]}
        garbage += [path for path in _files(store, f"{kind}/versions") if path.stem not in names]
        garbage += [path for path in _files(store, f"{kind}/shards") if path.stem not in shards]
    garbage += [path for folder in sorted((store.root / "blobs").glob("*")) for path in sorted(folder.iterdir()) if path.name not in blobs]
    garbage = sorted(set(garbage))
    if not dry_run:
        for path in garbage:
            path.unlink(missing_ok=True)
    return garbage


def _needed(store: "Store", versions: dict[str, list[Manifest]]) -> dict[str, list[Manifest]]:
    by_content = {manifest.content_id: manifest for manifests in versions.values() for manifest in manifests}
    queue = [manifest for kind in versions for manifest in store.refs(kind).values()]
    needed: dict[tuple[str, str], Manifest] = {}
    while queue:
        manifest = queue.pop()
        if (manifest.kind, manifest.plan_id) not in needed:
            needed[(manifest.kind, manifest.plan_id)] = manifest
            queue += [by_content[parent] for parent in manifest.parents.values() if parent in by_content]
    return {kind: [manifest for (name, _), manifest in sorted(needed.items()) if name == kind] for kind in versions}


def _named(store: "Store", manifests: list[Manifest]) -> tuple[set[str], set[str]]:
    infos = [shard for manifest in manifests for shard in manifest.shards]
    for record in store.root.glob("*/staging/*/*.json"):
        infos.append(ShardInfo(**json.loads(record.read_text())))
    shards = {shard.sha256 for shard in infos} | {shard.dropped_sha256 for shard in infos}
    return shards, {blob for shard in infos for blob in shard.blobs}


def _files(store: "Store", folder: str) -> list[Path]:
    path = store.root / folder
    return sorted(item for item in path.iterdir() if item.is_file()) if path.is_dir() else []
