"""What an id in a row names. The type of a field says it, so that lineage, forgetting and the blobs of a shard follow from the row classes.

    class Cut:
        clip_id: ClipId           # its own, of which others are made
        raw_clip_id: RawId        # the row of `raw` it is cut from

`relations(Recipe)` finds them wherever they stand: in a column, a list, a struct in a list. In Arrow every such field is a plain string.
"""

import dataclasses
import types
import typing
from typing import Annotated, Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Names:
    """What the ids of a field are of."""

    what: str
    """`raw`, `clip`, `example`, `codec`, `checkpoint`, `sequences` (a content id) or `blob`."""
    is_new: bool = False
    """The struct that holds it is what the id names, made of what its other ids name."""
    offsets: str = ""
    """For the id of a blob that is a tar of many rows: the column that says at which byte of it the row's own members begin."""
    lines: tuple[tuple[str, str], ...] = ()
    """For the id of a blob of JSON lines: pairs of a field of a line and what it names."""


RAW, CLIP, EXAMPLE, BLOB = "raw", "clip", "example", "blob"
CODEC, CHECKPOINT, SEQUENCES = "codec", "checkpoint", "sequences"

RawId = Annotated[str, Names(what=RAW)]
"""A row of `raw`."""
ClipId = Annotated[str, Names(what=CLIP)]
"""A cut (a row of `cuts` and `annotated`; of a whole file it has the file's own id) or a recipe in a row of `instructions`."""
NewClipId = Annotated[str, Names(what=CLIP, is_new=True)]
ExampleId = Annotated[str, Names(what=EXAMPLE)]
"""A row of `instructions`, and the row of `sequences` made of it."""
CodecId = Annotated[str, Names(what=CODEC)]
CheckpointId = Annotated[str, Names(what=CHECKPOINT)]
SequencesVersion = Annotated[str, Names(what=SEQUENCES)]
"""Content id of a version of `sequences`."""
Blob = Annotated[str, Names(what=BLOB)]
"""sha256 of a blob."""
SharedTar = Annotated[str, Names(what=BLOB, offsets="tar_offset")]
PredictionLines = Annotated[
    str, Names(what=BLOB, lines=(("clip_id", CLIP), ("clip_ids", CLIP), ("sequence_id", EXAMPLE)))
]
Digest = Annotated[str, Names(what="")]
"""A hash that names no row and no blob: of bytes, of samples, of a vocabulary."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Relation:
    """One field of a row that names something."""

    path: tuple[str, ...]
    """Field names from the column down, such as `("recipes", "parents")`."""
    names: Names


def relations(row_class: type[Any]) -> tuple[Relation, ...]:
    """All of a row class, in the order of its fields."""
    hints = typing.get_type_hints(row_class, include_extras=True)
    all_relations = [
        Relation(path=(field.name, *path), names=names)
        for field in dataclasses.fields(row_class)
        for path, names in _names_in(hints[field.name])
    ]
    return tuple(relation for relation in all_relations if relation.names.what)


def _names_in(hint: Any) -> list[tuple[tuple[str, ...], Names]]:
    """Path below the hint, and what stands there."""
    if typing.get_origin(hint) is Annotated:
        return [((), mark) for mark in hint.__metadata__ if isinstance(mark, Names)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType, list):
        return [nested for inner in typing.get_args(hint) for nested in _names_in(inner)]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint, include_extras=True)
        return [
            ((field.name, *path), names)
            for field in dataclasses.fields(hint)
            for path, names in _names_in(hints[field.name])
        ]
    return []
