"""What comes from a source: the clips cut and mixed from its files, the examples with them, the versions that hold them, the models
that were trained on those.

A row is of the source where it cannot be without it: a clip cut from one of its files, a mixture with such a clip, an example with
either, a score whose predictions name such an example.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.history.named import bool_array, id_array, naming, new_ids
from uniaudio_schemas.kinds import ROWS
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.ids import BLOB, CLIP, EXAMPLE, RAW, Relation
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.kinds.record import schema_of
from uniaudio_schemas.plain import json_object
from uniaudio_schemas.store.forgotten import replacements
from uniaudio_schemas.store.manifest import Manifest, ShardInfo

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

OF_FILES = (RAW, CLIP, EXAMPLE)
"""What comes from files: whatever names one of these does too."""


def _comes_from_files(row_class: type[Any]) -> bool:
    return any(
        what in OF_FILES
        for relation in schema_of(row_class).relations
        for what in (relation.names.what, *(named for _, named in relation.names.lines))
    )


DATA_KINDS = tuple(schema_of(row_class).kind for row_class in ROWS if _comes_from_files(row_class))
"""Kinds whose rows come from files, parents first."""
MODEL_KINDS = tuple(
    kind for kind in (schema_of(one).kind for one in ROWS if one is not Dropped) if kind not in DATA_KINDS
)
CUT_KINDS = tuple(
    kind
    for kind in DATA_KINDS
    if newest(kind).own_id.what == CLIP and RAW in {one.names.what for one in newest(kind).relations}
)
"""Kinds whose rows say which file a clip is cut from."""
_CLIP_ID = re.compile(r"[0-9a-f]{8,32}")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Ids of everything that comes from some raw clips."""

    raw: frozenset[str]
    clips: frozenset[str]
    """The raw clips, their cuts, and recipes."""
    examples: frozenset[str]

    @cached_property
    def named(self) -> dict[str, pa.Array]:
        """What -> its ids."""
        return {RAW: id_array(self.raw), CLIP: id_array(self.clips), EXAMPLE: id_array(self.examples)}


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A version with rows of the source."""

    manifest: Manifest
    num_rows: dict[str, int]
    """sha256 of each shard that holds some -> how many."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A codec or a checkpoint."""

    kind: str
    plan_id: str
    model_id: str
    """`codec_id` or `checkpoint_id`."""
    stage: str
    """Empty for a codec."""
    refs: list[str]
    num_examples: int
    """Training examples of the source among the sequences that the checkpoint, or one that it started from, could draw from: an upper
    bound, whatever its mixture."""


def raw_clips(store: "Store", source: str) -> dict[str, str]:
    """Clip id -> path of every file that `source` names: a corpus, a path, a clip id or its start (8 digits or more; a cut names its file),
    or a pattern of paths (`queen/*`, `*/joe-*.wav`; `*` takes `/` too). A file that versions know by several names is of each."""
    names: dict[str, set[tuple[str, str]]] = {}
    for _, _, table in _shards(store, "raw"):
        for row in table.select(["clip_id", "path", "corpus", "also_paths"]).to_pylist():
            places = names.setdefault(row["clip_id"], set())
            places.add((row["path"], row["corpus"]))
            places.update((path, path.partition("/")[0]) for path in row["also_paths"])

    def where(fits: Callable[[str, str], bool]) -> dict[str, str]:
        paths_by_clip = {
            clip: sorted(path for path, corpus in places if fits(path, corpus)) for clip, places in names.items()
        }
        return {clip: paths[0] for clip, paths in paths_by_clip.items() if paths}

    if of_corpus := where(lambda path, corpus: corpus == source):
        return of_corpus
    # Before the pattern: a file's own name may hold its signs.
    if of_path := where(lambda path, corpus: path == source):
        return of_path
    if _CLIP_ID.fullmatch(source):
        clip_ids = {clip for clip in names if clip.startswith(source)} | _files_of_cuts(store, source)
        if len(clip_ids) > 1:
            raise UsageError(f"`source` must name one clip, but {source} is the start of {len(clip_ids)}.")
        if clip_ids:
            return {clip: min(path for path, _ in names.get(clip, {("", "")})) for clip in clip_ids}
    return where(lambda path, corpus: fnmatchcase(path, source))


def _files_of_cuts(store: "Store", start: str) -> set[str]:
    raw_ids: set[str] = set()
    for kind in CUT_KINDS:
        for _, _, table in _shards(store, kind):
            raw_ids.update(table.filter(pc.starts_with(table["clip_id"], start))["raw_clip_id"].to_pylist())
    return raw_ids


def trace(store: "Store", raw: Iterable[str]) -> Trace:
    """Everything in the store that comes from the raw clips. An example names the parents of its recipes, so that one pass finds both."""
    source_trace = Trace(raw=frozenset(raw), clips=frozenset(raw), examples=frozenset())
    for kind in DATA_KINDS:
        if newest(kind).own_id.what in (CLIP, EXAMPLE) and len(newest(kind).relations) > 1:
            of_kind: dict[str, set[str]] = {CLIP: set(), EXAMPLE: set()}
            for _, _, table in _shards(store, kind):
                _add_what_comes_from(source_trace, kind, table, of_kind)
            source_trace = Trace(
                raw=source_trace.raw,
                clips=source_trace.clips | of_kind[CLIP],
                examples=source_trace.examples | of_kind[EXAMPLE],
            )
    return source_trace


def _add_what_comes_from(trace: Trace, kind: str, table: pa.Table, ids_by_kind: dict[str, set[str]]) -> None:
    """Add to `ids_by_kind` the ids of rows that come from the source, and the ids of the recipes that such rows hold."""
    schema = newest(kind)
    all_relations = schema.relations
    is_lost = np.zeros(len(table), bool)
    for relation in all_relations:
        if relation.path != (schema.id_field,) and not relation.names.is_new and relation.names.what in OF_FILES:
            is_lost |= naming(table, relation.path, trace.named[relation.names.what])
    ids_by_kind[newest(kind).own_id.what].update(table[schema.id_field].filter(bool_array(is_lost)).to_pylist())
    for new_relation in all_relations:
        if new_relation.names.is_new:
            ids_by_kind[new_relation.names.what] |= new_ids(
                table, new_relation, _beside(new_relation, all_relations, trace)
            )


def _beside(made: Relation, all_relations: Iterable[Relation], trace: Trace) -> list[tuple[tuple[str, ...], pa.Array]]:
    depth = len(made.path) - 1
    return [
        (one.path[depth:], trace.named[one.names.what])
        for one in all_relations
        if one.path[:depth] == made.path[:depth] and one is not made
    ]


def _shards(store: "Store", kind: str) -> Iterator[tuple[Manifest, ShardInfo, pa.Table]]:
    """Every shard of every version, each once."""
    seen: set[str] = set()
    for manifest in store.versions(kind):
        for shard in manifest.shards:
            if shard.sha256 not in seen:
                seen.add(shard.sha256)
                yield manifest, shard, store.table_of_shard(manifest, shard)


def mask(store: "Store", kind: str, table: pa.Table, trace: Trace) -> np.ndarray:
    """`[rows]` bool: the rows of a shard that come from the source: all that name something of it. All False for kinds that are models."""
    is_lost = np.zeros(len(table), bool)
    for relation in newest(kind).relations:
        if relation.names.what in OF_FILES:
            is_lost |= naming(table, relation.path, trace.named[relation.names.what])
        elif relation.names.what == BLOB and relation.names.lines:
            blobs = {blob for blob in table[relation.path[0]].to_pylist() if blob}
            about_it = id_array(blob for blob in blobs if _has_line_about(store, blob, relation.names.lines, trace))
            is_lost |= naming(table, relation.path, about_it)
    return is_lost


def _has_line_about(store: "Store", blob: str, lines: tuple[tuple[str, str], ...], trace: Trace) -> bool:
    ids = {RAW: trace.raw, CLIP: trace.clips, EXAMPLE: trace.examples}
    path = store.open_blob(blob)
    with path.open("rb") as file:
        for line in file:
            values = json_object(line, str(path))
            for name, what in lines:
                value = values.get(name, ())
                if not ids[what].isdisjoint([value] if isinstance(value, str) else value or ()):
                    return True
    return False


def holders(store: "Store", trace: Trace) -> list[Holder]:
    """Every version with rows of the source, parents first."""
    held_versions = []
    for kind in DATA_KINDS:
        lost_counts: dict[str, int] = {}
        for manifest in store.versions(kind):
            for shard in manifest.shards:
                if shard.sha256 not in lost_counts:
                    table = store.table_of_shard(manifest, shard)
                    lost_counts[shard.sha256] = int(mask(store, kind, table, trace).sum())
            counts = {shard.sha256: lost_counts[shard.sha256] for shard in manifest.shards if lost_counts[shard.sha256]}
            if counts:
                held_versions.append(Holder(manifest=manifest, num_rows=counts))
    return held_versions


def models(store: "Store", trace: Trace, held: list[Holder]) -> list[Model]:
    """Codecs and checkpoints with a holder among their ancestors."""
    plans = {(holder.manifest.kind, holder.manifest.plan_id) for holder in held}
    dependent_models = []
    for kind in MODEL_KINDS:
        refs = store.refs(kind)
        for manifest in store.versions(kind):
            behind = ancestors(store, manifest)
            if any((one.kind, one.plan_id) in plans for one in behind):
                row: dict[str, Any] = next(iter(store.read(manifest).to_pylist()), {})
                model = Model(
                    kind=kind,
                    plan_id=manifest.plan_id,
                    model_id=str(row.get(f"{kind}_id", "")),
                    stage=str(row.get("stage", "")),
                    refs=sorted(ref for ref, head in refs.items() if head.plan_id == manifest.plan_id),
                    num_examples=_num_training_examples(store, trace, drawn_from(store, manifest)),
                )
                dependent_models.append(model)
    return dependent_models


def as_records(models: list[Model]) -> list[dict[str, Any]]:
    return [asdict(model) for model in models]


def ancestors(store: "Store", manifest: Manifest) -> list[Manifest]:
    """The version's parents, theirs and so on, nearest first."""
    versions_by_kind = {kind: store.versions(kind) for kind in (*DATA_KINDS, *MODEL_KINDS)}
    replaced = replacements(store)
    level, earlier_versions = [manifest], list[Manifest]()
    while level:
        parents = {
            (kind, content)
            for child in level
            for kind, before in child.parents.items()
            for content in (before, replaced.get((kind, before), before))
        }
        level = [
            version
            for kind in versions_by_kind
            for version in versions_by_kind[kind]
            if (kind, version.content_id) in parents and version not in earlier_versions
        ]
        earlier_versions += level
    return earlier_versions


def drawn_from(store: "Store", manifest: Manifest) -> list[Manifest]:
    """What a model, or one that it started from, was trained on, or scores were measured on: of the parents of each the one that
    comes last in the data flow."""
    behind, replaced = ancestors(store, manifest), replacements(store)
    contents = set[tuple[str, str]]()
    for one in (manifest, *(before for before in behind if before.kind == manifest.kind)):
        data = [parent for parent in one.parents.items() if parent[0] in DATA_KINDS]
        contents.update(sorted(data, key=lambda parent: DATA_KINDS.index(parent[0]))[-1:])
    contents |= {(kind, replaced[(kind, content)]) for kind, content in contents if (kind, content) in replaced}
    return [one for one in behind if (one.kind, one.content_id) in contents]


def _num_training_examples(store: "Store", trace: Trace, versions: list[Manifest]) -> int:
    ids: set[str] = set()
    for manifest in versions:
        schema = newest(manifest.kind)
        if schema.own_id.what == EXAMPLE:
            for table in store.tables(manifest):
                rows = table.filter(bool_array(mask(store, manifest.kind, table, trace)))
                is_training = pc.is_in(rows["split"], value_set=id_array(["train"]))
                ids.update(rows.filter(is_training)[schema.id_field].to_pylist())
    return len(ids)
