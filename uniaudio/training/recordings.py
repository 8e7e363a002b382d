"""Which recording a held-out clip was cut from: cuts of one recording, and its parts, are no independent samples.

Reads    the version of annotated that a version of sequences comes from
Gives    {"5f1c…": "9ab0…", "77aa…": "sectoid/Feelings", …}: clip id -> recording
"""

from typing import TYPE_CHECKING

import pyarrow.compute as pc
from uniaudio_schemas.kinds.annotated import Annotated

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store
    from uniaudio_schemas.store.manifest import Manifest

_COLUMNS = ["clip_id", "raw_clip_id", "corpus", "part_of", "split"]


def recording_of(clip: Annotated) -> str:
    """What its other cuts and its synchronous parts share."""
    return _recording(clip.corpus, clip.part_of, clip.raw_clip_id)


def recordings_behind(store: "Store", sequences: "Manifest") -> dict[str, str]:
    """Clip id -> recording of the held-out clips; empty where the store holds no ancestor that knows."""
    instructions = _parent(store, sequences, "instructions")
    annotated = _parent(store, instructions, "annotated") if instructions else None
    if annotated is None:
        return {}
    table = store.read(annotated, columns=_COLUMNS)
    rows = table.filter(pc.not_equal(table["split"], "train")).to_pylist()
    return {row["clip_id"]: _recording(row["corpus"], row["part_of"], row["raw_clip_id"]) for row in rows}


def _recording(corpus: str, part_of: str | None, raw_clip_id: str) -> str:
    return f"{corpus}/{part_of}" if part_of else raw_clip_id


def _parent(store: "Store", manifest: "Manifest", kind: str) -> "Manifest | None":
    content_id = manifest.parents.get(kind)
    return next((version for version in store.versions(kind) if version.content_id == content_id), None)
