"""The version that a plan was made from, found by its contents: a ref may point elsewhere by the time a worker starts."""

from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.manifest import Manifest
from uniaudio_schemas.store import Store


def version_with(store: Store, kind: str, content_id: str, ref: str = "latest") -> Manifest:
    """The version of `kind` with these contents, looked for behind `ref` first."""
    head = store.head(kind, ref)
    if head is not None and head.content_id == content_id:
        return head
    for manifest in store.versions(kind):
        if manifest.content_id == content_id:
            return manifest
    raise StoreError(f"{store.root}: must hold the version of {kind} with the contents {content_id}, but does not.")
