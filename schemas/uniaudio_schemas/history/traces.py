"""What comes from a source: the clips cut and mixed from its files, the examples with them, the versions that hold them, the models
that were trained on those.

A row is of the source where it cannot be without it: a clip cut from one of its files, a mixture with such a clip, an example with
either, a score whose predictions name such an example.
"""

import json
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
from uniaudio_schemas.store.forgotten import replacements
from uniaudio_schemas.store.manifest import Manifest, ShardInfo

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

DATA_KINDS = ("raw", "evalset", "cuts", "annotated", "instructions", "tokens", "sequences", "scores")
"""Kinds whose rows come from files, parents first."""
MODEL_KINDS = ("codec", "checkpoint")
_CLIP_ID = re.compile(r"[0-9a-f]{8,32}")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Ids of everything that comes from some raw clips."""

    raw: frozenset[str]
    clips: frozenset[str]
    """The raw clips, their cuts, and recipes."""
    examples: frozenset[str]

    @cached_property
    def raw_set(self) -> pa.Array:
        return pa.array(sorted(self.raw), pa.string())

    @cached_property
    def clip_set(self) -> pa.Array:
        return pa.array(sorted(self.clips), pa.string())


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
            known = names.setdefault(row["clip_id"], set())
            known.add((row["path"], row["corpus"]))
            known.update((path, path.partition("/")[0]) for path in row["also_paths"])

    def where(fits: Callable[[str, str], bool]) -> dict[str, str]:
        found = {clip: sorted(path for path, corpus in known if fits(path, corpus)) for clip, known in names.items()}
        return {clip: paths[0] for clip, paths in found.items() if paths}

    if of_corpus := where(lambda path, corpus: corpus == source):
        return of_corpus
    # Before the pattern: a file's own name may hold its signs.
    if of_path := where(lambda path, corpus: path == source):
        return of_path
    if _CLIP_ID.fullmatch(source):
        named = {clip for clip in names if clip.startswith(source)} | _files_of_cuts(store, source)
        if len(named) > 1:
            raise UsageError(f"`source` must name one clip, but {source} is the start of {len(named)}.")
        if named:
            return {clip: min(path for path, _ in names.get(clip, {("", "")})) for clip in named}
    return where(lambda path, corpus: fnmatchcase(path, source))


def _files_of_cuts(store: "Store", start: str) -> set[str]:
    found = set()
    for _, _, table in _shards(store, "annotated"):
        found.update(table.filter(pc.starts_with(table["clip_id"], start))["raw_clip_id"].to_pylist())
    return found


def trace(store: "Store", raw: Iterable[str]) -> Trace:
    """Everything in the store that comes from the raw clips."""
    start = frozenset(raw)
    files = pa.array(sorted(start), pa.string())
    clips = set(start)
    for _, _, table in _shards(store, "annotated"):
        clips.update(table.filter(pc.is_in(table["raw_clip_id"], value_set=files))["clip_id"].to_pylist())
    # An example names the parents of its recipes, so that one pass finds the examples, and their recipes are of the source.
    examples: set[str] = set()
    parents = pa.array(sorted(clips), pa.string())
    for _, _, table in _shards(store, "instructions"):
        chosen = table.filter(pa.array(names_any(table["clip_ids"], parents)))
        examples.update(chosen["instruction_id"].to_pylist())
        for recipes in chosen["recipes"].to_pylist():
            clips.update(recipe["clip_id"] for recipe in recipes if clips.intersection(recipe["parents"]))
    return Trace(raw=start, clips=frozenset(clips), examples=frozenset(examples))


def _shards(store: "Store", kind: str) -> Iterator[tuple[Manifest, ShardInfo, pa.Table]]:
    """Every shard of every version, each once."""
    seen: set[str] = set()
    for manifest in store.versions(kind):
        for shard in manifest.shards:
            if shard.sha256 not in seen:
                seen.add(shard.sha256)
                yield manifest, shard, store.table_of_shard(manifest, shard)


def names_any(column: pa.ChunkedArray, ids: pa.Array) -> np.ndarray:
    """`[rows]` bool: whether the row's list holds one of `ids`."""
    masks = [np.zeros(0, bool)]
    for chunk in column.chunks:
        mask = np.zeros(len(chunk), bool)
        mask[pc.list_parent_indices(chunk).filter(pc.is_in(chunk.flatten(), value_set=ids)).to_numpy()] = True
        masks.append(mask)
    return np.concatenate(masks)


def mask(store: "Store", kind: str, table: pa.Table, trace: Trace) -> np.ndarray:
    """`[rows]` bool: the rows of a shard that come from the source. All False for kinds that are models."""
    if kind in ("raw", "evalset"):
        found = pc.is_in(table["clip_id"], value_set=trace.raw_set)
    elif kind in ("cuts", "annotated"):
        found = pc.is_in(table["raw_clip_id"], value_set=trace.raw_set)
    elif kind == "tokens":
        found = pc.is_in(table["clip_id"], value_set=trace.clip_set)
    elif kind in ("instructions", "sequences"):
        return names_any(table["clip_ids"], trace.clip_set)
    elif kind == "scores":
        named = {blob: _predicts(store, blob, trace) for blob in set(table["predictions"].to_pylist()) if blob}
        return np.array([named.get(blob, False) for blob in table["predictions"].to_pylist()], bool)
    else:
        return np.zeros(len(table), bool)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool) if len(table) else np.zeros(0, bool)


def _predicts(store: "Store", blob: str, trace: Trace) -> bool:
    """Whether a line of predictions is about the source."""
    with store.open_blob(blob).open(encoding="utf-8") as lines:
        for line in lines:
            values = json.loads(line)
            clips = {values.get("clip_id"), *values.get("clip_ids", ())}
            if values.get("sequence_id") in trace.examples or not trace.clips.isdisjoint(clips):
                return True
    return False


def holders(store: "Store", trace: Trace) -> list[Holder]:
    """Every version with rows of the source, parents first."""
    found = []
    for kind in DATA_KINDS:
        known: dict[str, int] = {}
        for manifest in store.versions(kind):
            for shard in manifest.shards:
                if shard.sha256 not in known:
                    table = store.table_of_shard(manifest, shard)
                    known[shard.sha256] = int(mask(store, kind, table, trace).sum())
            counts = {shard.sha256: known[shard.sha256] for shard in manifest.shards if known[shard.sha256]}
            if counts:
                found.append(Holder(manifest=manifest, num_rows=counts))
    return found


def models(store: "Store", trace: Trace, held: list[Holder]) -> list[Model]:
    """Codecs and checkpoints with a holder among their ancestors."""
    plans = {(holder.manifest.kind, holder.manifest.plan_id) for holder in held}
    found = []
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
                found.append(model)
    return found


def as_records(found: list[Model]) -> list[dict[str, Any]]:
    return [asdict(model) for model in found]


def ancestors(store: "Store", manifest: Manifest) -> list[Manifest]:
    """The version's parents, theirs and so on, nearest first."""
    known = {kind: store.versions(kind) for kind in (*DATA_KINDS, *MODEL_KINDS)}
    replaced = replacements(store)
    level, found = [manifest], list[Manifest]()
    while level:
        wanted = {
            (kind, content)
            for child in level
            for kind, before in child.parents.items()
            for content in (before, replaced.get((kind, before), before))
        }
        level = [
            version
            for kind in known
            for version in known[kind]
            if (kind, version.content_id) in wanted and version not in found
        ]
        found += level
    return found


def drawn_from(store: "Store", checkpoint: Manifest) -> list[Manifest]:
    """The versions of sequences that a checkpoint, or one that it started from, was trained on."""
    behind, replaced = ancestors(store, checkpoint), replacements(store)
    named = {one.parents.get("sequences", "") for one in (checkpoint, *behind) if one.kind == "checkpoint"}
    wanted = named | {replaced.get(("sequences", content), "") for content in named}
    return [one for one in behind if one.kind == "sequences" and one.content_id in wanted]


def _num_training_examples(store: "Store", trace: Trace, versions: list[Manifest]) -> int:
    found: set[str] = set()
    for manifest in versions:
        for table in store.tables(manifest, ["sequence_id", "split", "clip_ids"]):
            rows = table.filter(pa.array(mask(store, "sequences", table, trace)))
            found.update(rows.filter(pc.equal(rows["split"], "train"))["sequence_id"].to_pylist())
    return len(found)
