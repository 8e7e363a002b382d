"""The way back: from a version, a model, an example or a clip to the files behind it, their corpora and licences.

`way_back(store, find(store, "490e8d"))` gives plain JSON values:
    {"kind": "sequences", "plan_id": "1b1f…", "versions": [{"kind": "tokens", "content_id": "e2de…", …}, …], "missing": [],
     "sources": [{"corpus": "queen", "licence": "freeware", "files": 29, "seconds": 79.9}, …]}
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from uniaudio_schemas.history.find import Found
from uniaudio_schemas.history.named import all_ids, bool_array, id_array, naming
from uniaudio_schemas.history.traces import CUT_KINDS, MODEL_KINDS, ancestors, drawn_from
from uniaudio_schemas.kinds.codec import RANKS_STATISTIC
from uniaudio_schemas.kinds.ids import CLIP, EXAMPLE, RAW
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store.forgotten import records, replacements
from uniaudio_schemas.store.manifest import Manifest

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

_FILE_COLUMNS = ("clip_id", "path", "corpus", "licence", "sha256", "sample_rate", "num_samples", "tar")
_MODEL_COLUMNS = ("checkpoint_id", "codec_id", "stage", "size", "step", "parent", "codec_fingerprint", "sequences")


def way_back(store: "Store", found: Found) -> dict[str, Any]:
    """See the module. An example or a clip has `examples` or `clips` with their files too."""
    manifest, behind = found.manifest, ancestors(store, found.manifest)
    answer = {**describe(store, manifest), "versions": [describe(store, one) for one in behind]}
    answer["missing"] = _missing(store, [manifest, *behind])
    what = newest(manifest.kind).own_id.what if found.row_id else ""
    if what == EXAMPLE:
        answer["examples"], files = examples(store, manifest, [found.row_id])
    elif what in (CLIP, RAW):
        answer["clips"], files = _clips(store, [manifest, *behind], [found.row_id])
    else:
        files = _files_behind(store, manifest, behind)
    return {**answer, "sources": sources(files)}


def describe(store: "Store", manifest: Manifest) -> dict[str, Any]:
    """What one line says of a version."""
    described: dict[str, Any] = {
        "kind": manifest.kind,
        "plan_id": manifest.plan_id,
        "content_id": manifest.content_id,
        "refs": sorted(ref for ref, head in store.refs(manifest.kind).items() if head.plan_id == manifest.plan_id),
        "rows": manifest.num_rows,
        "code_version": manifest.code_version,
        "numerics": manifest.numerics,
        "parents": manifest.parents,
    }
    if manifest.kind in MODEL_KINDS:
        for row in store.read(manifest).to_pylist():
            described["model"] = {name: row[name] for name in _MODEL_COLUMNS if name in row}
        described["steps_on_ranks"] = {
            name.removeprefix(RANKS_STATISTIC): int(count)
            for name, count in manifest.statistics.items()
            if name.startswith(RANKS_STATISTIC)
        }
        saw = sum(
            len(one.raw) for one in records(store) if manifest.plan_id in {model["plan_id"] for model in one.models}
        )
        described["forgotten_files"] = saw
    return described


def _missing(store: "Store", versions: list[Manifest]) -> list[dict[str, str]]:
    """Parents that the store does not hold any more, in whole or in what is left of them."""
    contents, replaced = {(one.kind, one.content_id) for one in versions}, replacements(store)
    parents = {parent for one in versions for parent in one.parents.items()}
    missing_parents = sorted(
        parent for parent in parents if not contents & {parent, (parent[0], replaced.get(parent, ""))}
    )
    return [{"kind": kind, "content_id": content} for kind, content in missing_parents]


def examples(
    store: "Store", manifest: Manifest, ids: Iterable[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Examples of a version of sequences or instructions with their clips, in the order of `ids`; and the files behind them."""
    id_field, example_ids = newest(manifest.kind).id_field, list(ids)
    rows = {row[id_field]: row for row in _rows(store, [manifest], example_ids)}
    clip_ids = {clip for row in rows.values() for clip in row["clip_ids"]}
    clips, files = _clips(store, [manifest, *ancestors(store, manifest)], clip_ids)
    by_id = {clip["clip_id"]: clip for clip in clips}
    columns = (id_field, "task", "mixture", "split", "corpus")
    answers = [
        {**{name: rows[one][name] for name in columns}, "clips": [by_id[clip] for clip in rows[one]["clip_ids"]]}
        for one in example_ids
    ]
    return answers, files


def _clips(
    store: "Store", versions: list[Manifest], ids: Iterable[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Each clip with its tokens, its recipe or its cut, and its file; and the files of all."""
    clip_ids = sorted(set(ids))
    recipes = _recipes(store, versions, clip_ids)
    parents = {parent for recipe in recipes.values() for parent in recipe["parents"]}
    cuts = {
        row["clip_id"]: row
        for kind in CUT_KINDS
        for row in _rows(store, _of_kind(versions, kind), {*clip_ids, *parents})
    }
    file_ids = {row["raw_clip_id"] for row in cuts.values()} | set(clip_ids)
    files = {row["clip_id"]: _file(row) for row in _rows(store, _of_kind(versions, RAW), file_ids)}
    tokens = _tokens(store, versions, clip_ids)
    clips: list[dict[str, Any]] = []
    for clip in clip_ids:
        answer: dict[str, Any] = {"clip_id": clip, **tokens.get(clip, {})}
        if clip in recipes:
            answer["recipe"] = {name: recipes[clip][name] for name in ("operation", "parents", "parameters", "seed")}
        if clip in cuts:
            answer["cut"] = _cut(cuts[clip])
        file = files.get(cuts[clip]["raw_clip_id"] if clip in cuts else clip)
        clips.append({**answer, **({"file": file} if file else {})})
    return clips, list(files.values())


def _cut(row: dict[str, Any]) -> dict[str, Any]:
    sources = [f"{one['value']}: {one['annotator']} {one['version']}" for one in row["annotations"]]
    names = ("first_sample", "num_samples", "sample_rate", "domain", "split")
    return {**{name: row[name] for name in names if name in row}, "annotations": sources}


def _file(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _FILE_COLUMNS}


def _tokens(store: "Store", versions: list[Manifest], clips: list[str]) -> dict[str, dict[str, Any]]:
    """Clip -> codec and numerics that its codes come from."""
    wanted_ids, tokens_by_clip = id_array(clips), {}
    for manifest in _of_kind(versions, "tokens"):
        for shard in manifest.shards:
            table = store.table_of_shard(manifest, shard)
            metadata = store.shard_metadata(manifest, shard)
            encoder = {"codec": metadata.get("codec_fingerprint", ""), "numerics": metadata.get("numerics", "")}
            for clip in table.filter(pc.is_in(table["clip_id"], value_set=wanted_ids))["clip_id"].to_pylist():
                tokens_by_clip[clip] = {"tokens": {"plan_id": manifest.plan_id, **encoder}}
    return tokens_by_clip


def _recipes(store: "Store", versions: list[Manifest], clips: Iterable[str]) -> dict[str, dict[str, Any]]:
    clip_ids, recipes = set(clips), {}
    ids = id_array(clip_ids)
    for manifest in _of_kind(versions, "instructions"):
        for table in store.tables(manifest, ["recipes"]):
            recipe_lists = table.filter(bool_array(naming(table, ("recipes", "clip_id"), ids)))["recipes"].to_pylist()
            recipes.update({one["clip_id"]: one for row in recipe_lists for one in row if one["clip_id"] in clip_ids})
    return recipes


def _of_kind(versions: list[Manifest], kind: str) -> list[Manifest]:
    return [one for one in versions if one.kind == kind]


def _rows(store: "Store", versions: list[Manifest], ids: Iterable[str]) -> Iterable[dict[str, Any]]:
    """The rows of `versions` that have these ids."""
    wanted_ids = id_array(ids)
    for manifest in versions:
        id_field = newest(manifest.kind).id_field
        for table in store.tables(manifest):
            yield from table.filter(pc.is_in(table[id_field], value_set=wanted_ids)).to_pylist()


def _files_behind(store: "Store", manifest: Manifest, behind: list[Manifest]) -> list[dict[str, Any]]:
    """Source files behind a version: for a model or scores, the files of the data they were drawn from; for other kinds, the files its rows
    come from."""
    versions = [manifest, *behind]
    names_clips = any(relation.names.what in (RAW, CLIP) for relation in newest(manifest.kind).relations)
    holders = [manifest] if names_clips else drawn_from(store, manifest)
    files, clips = _named_by(store, holders, RAW), _named_by(store, holders, CLIP)
    if not files:
        clips |= {parent for recipe in _recipes(store, versions, clips).values() for parent in recipe["parents"]}
        cuts = (row for kind in CUT_KINDS for row in _rows(store, _of_kind(versions, kind), clips))
        files = {row["raw_clip_id"] for row in cuts}
    return list({row["clip_id"]: _file(row) for row in _rows(store, _of_kind(versions, RAW), files)}.values())


def _named_by(store: "Store", versions: list[Manifest], what: str) -> set[str]:
    return {
        one
        for manifest in versions
        for relation in newest(manifest.kind).relations
        if relation.names.what == what
        for table in store.tables(manifest, [relation.path[0]])
        for one in all_ids(table, relation.path)
    }


def sources(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Files and seconds of audio by corpus and licence."""
    counts: Counter[tuple[str, str]] = Counter()
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for file in files:
        key = (file["corpus"], file["licence"])
        counts[key] += 1
        seconds[key] += file["num_samples"] / file["sample_rate"] if file["sample_rate"] else 0.0
    return [
        {"corpus": corpus, "licence": licence, "files": count, "seconds": round(seconds[(corpus, licence)], 3)}
        for (corpus, licence), count in sorted(counts.items())
    ]
