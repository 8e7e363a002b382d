"""Read every byte of a version again and compare it with what the manifest says."""

import tempfile
from typing import TYPE_CHECKING

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import hash_file
from uniaudio_schemas.kinds.migrations import schema_at
from uniaudio_schemas.store.content import content_id, row_hashes
from uniaudio_schemas.store.files import disk_errors
from uniaudio_schemas.store.kept_hashes import HashesFile
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.store.shards import read_shard

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store


def verify(store: "Store", manifest: Manifest) -> None:
    """A shard (of rows or of dropped ones) or blob whose bytes changed is a `DataError` that names it; one that is gone a `StoreError`."""
    schema = schema_at(manifest.kind, manifest.schema_version)
    paths = [(store.shard_path(manifest, shard), shard.sha256) for shard in manifest.shards]
    drop_files = [(store.dropped_path(shard), shard.dropped_sha256) for shard in manifest.dropped_shards]
    for path, sha256 in [*paths, *drop_files, *((store.open_blob(blob), blob) for blob in manifest.blobs)]:
        actual = hash_file(path)
        if actual != sha256:
            raise DataError(f"{path}: must have sha256 {sha256}, but has {actual}.")
    with disk_errors(tempfile.gettempdir()), tempfile.TemporaryFile() as file:
        hashes = HashesFile(file, schema)
        for path, sha256 in paths:
            hashes.add(sha256, row_hashes(read_shard(path), schema))
        all_hashes = hashes.ended()
        actual = content_id((all_hashes[sha256] for _, sha256 in paths), schema, between=all_hashes.let_go)
    if actual != manifest.content_id:
        raise DataError(
            f"{manifest.kind} {manifest.plan_id[:8]}: content id must be {manifest.content_id}, but is {actual}."
        )
