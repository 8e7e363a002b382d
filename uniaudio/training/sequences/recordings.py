"""Which recording a held-out clip was cut from: cuts of one recording, and its parts, are no independent samples.

Reads    the version of annotated that a version of sequences comes from
Gives    {"5f1c…": "9ab0…", "77aa…": "sectoid/Feelings", …}: clip id -> recording, of the held-out clips that were asked for
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.kinds.annotated import Annotated

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store
    from uniaudio_schemas.store.manifest import Manifest

_COLUMNS = ["clip_id", "raw_clip_id", "corpus", "part_of", "split"]


def recording_of(clip: Annotated) -> str:
    """What its other cuts and its synchronous parts share."""
    return _recording(clip.corpus, clip.part_of, clip.raw_clip_id)


def recordings_behind(store: "Store", sequences: "Manifest", clip_ids: Iterable[str]) -> dict[str, str]:
    """Clip id -> recording, of those of `clip_ids` that are held out; empty where the store holds no ancestor that knows.

    A pass over the ids of the annotated version, shard by shard.
    """
    instructions = _parent(store, sequences, "instructions")
    annotated = _parent(store, instructions, "annotated") if instructions else None
    ids = pa.array(sorted(set(clip_ids)), pa.string())
    if annotated is None or not len(ids):
        return {}
    recordings: dict[str, str] = {}
    for table in store.tables(annotated, columns=_COLUMNS):
        is_wanted = pc.and_(pc.is_in(table["clip_id"], value_set=ids), pc.not_equal(table["split"], "train"))
        rows = table.filter(is_wanted).to_pylist()
        recordings |= {row["clip_id"]: _recording(row["corpus"], row["part_of"], row["raw_clip_id"]) for row in rows}
    return recordings


def _recording(corpus: str, part_of: str | None, raw_clip_id: str) -> str:
    return f"{corpus}/{part_of}" if part_of else raw_clip_id


def _parent(store: "Store", manifest: "Manifest", kind: str) -> "Manifest | None":
    content_id = manifest.parents.get(kind)
    return next((version for version in store.versions(kind) if version.content_id == content_id), None)
