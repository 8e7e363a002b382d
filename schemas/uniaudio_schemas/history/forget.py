"""Forget a source: a corpus, files, or one clip. START HERE for `uniaudio forget`.

What is promised, once `forget` has returned:

- No version, shard, blob or staged unit of the store holds a row, a code, a sample or a word of the source. Rows that cannot be without
  it (cuts, mixtures, examples, scores measured on it) went with it, each as a dropped row with the reason `forgotten` and its id, a hash.
- All other rows are there as before. Only shards that held some of it were written again; every version that named one, and every
  version made from such a version, has a successor with the same parameters and the successors of its parents, and every ref points to
  the successor. Its plan id is the one that its edge plans now, so that nothing is made again; its content id says what it holds.
- Ingest leaves the files out from now on, though they still lie in the source folder: what lies there is yours to delete.
- Codecs and checkpoints are as they were. They name parents by content ids that are gone; the record says what stands for those
  (`forgotten.replacements`) and which models saw the source. Flows take such models for out of date, and would train them anew.

Not touched: the source folder and what ingest lists of it, local caches of a remote store, the report, exported models and other copies
elsewhere; of rows that an edge dropped for its own reasons the id and the reason.

Killed at any moment, the store reads as before or as after, kind by kind, and the next `forget`, of whatever source, first ends what was
begun: (1) the record is written, (2) the successors are published behind refs of their own, parents first, (3) the record says what
stands for what, (4) under the store's lock all refs are swapped, the old manifests removed, children first, and then everything that no
manifest names, (5) the record says that it is done. Where a run published between (2) and (4), it goes back to (2). One `forget` works
at a time, others wait.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uniaudio_schemas.errors import StoreError, UsageError
from uniaudio_schemas.history.rewrite import rewrite
from uniaudio_schemas.history.traces import (
    DATA_KINDS,
    MODEL_KINDS,
    Holder,
    Model,
    Trace,
    as_records,
    holders,
    mask,
    models,
    raw_clips,
    trace,
)  # fmt: skip
from uniaudio_schemas.store import kept_hashes, layout
from uniaudio_schemas.store.collect import leftovers, live_plans
from uniaudio_schemas.store.forgotten import Forgotten, records, replacements, write_record
from uniaudio_schemas.store.lease import STORE_LOCK
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.store.shards import read_shard
from uniaudio_schemas.store.units import SUFFIX, read_unit

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store

FORGET_LOCK = ".forgetting"
"""Held for all of a `forget`."""
SUCCESSOR_REF = "forgetting-"
"""Prefix of the ref that keeps a successor until all refs are swapped; the plan id of the replaced version follows."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What forgetting a source means, before anything is written."""

    files: dict[str, str]
    """Raw clip id -> path."""
    trace: Trace
    holders: list[Holder]
    models: list[Model]
    refs: dict[tuple[str, str], list[str]]
    """(kind, plan id) -> refs, of the holders."""


def survey(store: "Store", source: str) -> Survey:
    """Reads every shard once, writes nothing. UsageError where no raw clip is of the source."""
    files = raw_clips(store, source)
    if not files:
        raise UsageError(
            f"`source` must be a corpus, a path, a clip id (8 digits or more) or a pattern of paths such as 'queen/*' that some raw clip "
            f"is of, but is {source!r}. What was forgotten has no clips any more."
        )
    return _survey(store, files)


def _survey(store: "Store", files: dict[str, str]) -> Survey:
    of_source = trace(store, files)
    versions = holders(store, of_source)
    refs: dict[tuple[str, str], list[str]] = {}
    for kind in DATA_KINDS:
        for ref, head in sorted(store.refs(kind).items()):
            if not ref.startswith(SUCCESSOR_REF):
                refs.setdefault((kind, head.plan_id), []).append(ref)
    return Survey(files=files, trace=of_source, holders=versions, models=models(store, of_source, versions), refs=refs)


def unfinished(store: "Store") -> list[Forgotten]:
    """Records of sources whose forgetting was begun and not ended."""
    return [record for record in records(store) if not record.is_done]


def forget(store: "Store", source_survey: Survey, say: Callable[[str], None] = lambda line: None) -> Forgotten:
    """Do it, as the store is now. StoreError where a run is alive: it could be reading what goes. Ends what is `unfinished` first."""
    with store.files.lock(FORGET_LOCK, exclusive=True):
        _refuse_live_runs(store)
        _finish(store, say)
        record = _record(store, _survey(store, source_survey.files))
        write_record(store, record)
        return _carry_out(store, record, say)


def _record(store: "Store", source_survey: Survey) -> Forgotten:
    """A source that was forgotten before, and is there again, keeps what its record says."""
    record = Forgotten(
        raw=sorted(source_survey.trace.raw),
        clips=sorted(source_survey.trace.clips),
        examples=sorted(source_survey.trace.examples),
        models=as_records(source_survey.models),
    )
    for before in records(store):
        if before.record_id == record.record_id:
            new = {model["plan_id"] for model in record.models}
            models_before = [model for model in before.models if model["plan_id"] not in new]
            return replace(record, models=[*models_before, *record.models], rewritten=before.rewritten)
    return record


def finish(store: "Store", say: Callable[[str], None] = lambda line: None) -> int:
    """End what a killed `forget` began; returns how many records that were."""
    with store.files.lock(FORGET_LOCK, exclusive=True):
        return _finish(store, say)


def _finish(store: "Store", say: Callable[[str], None]) -> int:
    begun = unfinished(store)
    for record in begun:
        say(f"ending the forgetting of {len(record.raw)} files that was interrupted")
        _carry_out(store, record, say)
    return len(begun)


def _carry_out(store: "Store", record: Forgotten, say: Callable[[str], None]) -> Forgotten:
    old: dict[tuple[str, str], tuple[Manifest, Manifest]] = {}
    while True:
        # A run that was planned before may have made clips and examples of the source since.
        traced = trace(store, record.raw)
        of_source = replace(
            traced, clips=traced.clips.union(record.clips), examples=traced.examples.union(record.examples)
        )
        versions_seen = _rewrite_versions(store, of_source, old, say)
        pairs = {(before.kind, before.content_id, after.content_id) for before, after in old.values()}
        pairs |= {(kind, before, after) for kind, before, after in record.rewritten}
        record = replace(
            record,
            clips=sorted(of_source.clips),
            examples=sorted(of_source.examples),
            rewritten=sorted([list(pair) for pair in pairs if pair[1] != pair[2]]),
        )
        write_record(store, record)
        if _swap_and_clear(store, list(old.values()), of_source, versions_seen):
            break
    record = replace(record, is_done=True)
    write_record(store, record)
    return record


def _rewrite_versions(
    store: "Store", of_source: Trace, old: dict[tuple[str, str], tuple[Manifest, Manifest]], say: Callable[[str], None]
) -> set[tuple[str, str]]:
    """Add to `old` what has rows or parents of the source, each with its successor; returns (kind, plan id) of all versions looked at."""
    replaced = replacements(store) | {
        (kind, before.content_id): after.content_id for (kind, _), (before, after) in old.items()
    }
    seen = set(old) | {(after.kind, after.plan_id) for _, after in old.values()}
    for kind in DATA_KINDS:
        for manifest in store.versions(kind):
            key = (kind, manifest.plan_id)
            seen.add(key)
            successor = None
            if key not in old:
                successor = rewrite(store, manifest, of_source, replaced, f"{SUCCESSOR_REF}{manifest.plan_id}")
            if successor is not None:
                old[key] = (manifest, successor)
                seen.add((kind, successor.plan_id))
                replaced[(kind, manifest.content_id)] = successor.content_id
                say(
                    f"{kind} {manifest.plan_id[:8]} -> {successor.plan_id[:8]}: {successor.num_rows} of {manifest.num_rows} rows"
                )
    return seen


def _swap_and_clear(
    store: "Store", old: list[tuple[Manifest, Manifest]], of_source: Trace, seen: set[tuple[str, str]]
) -> bool:
    """False, and nothing is changed, where a version is there that was not `seen`."""
    successors = {(before.kind, before.plan_id): after for before, after in old}
    with store.files.lock(STORE_LOCK, exclusive=True):
        # Nobody can publish, point or begin a run here.
        _refuse_live_runs(store)
        if {(kind, manifest.plan_id) for kind in DATA_KINDS for manifest in store.versions(kind)} - seen:
            return False
        refs = [(kind, ref, head) for kind in DATA_KINDS for ref, head in store.refs(kind).items()]
        for kind, ref, head in refs:
            if (kind, head.plan_id) in successors:
                store.write_ref(successors[(kind, head.plan_id)], ref)
        for before, _ in reversed(old):
            store.files.delete(layout.version_path(before.kind, before.plan_id))
        for kind, ref, _ in refs:
            if ref.startswith(SUCCESSOR_REF):
                store.files.delete(layout.ref_path(kind, ref))
        _clear(store, of_source)
    return True


def _clear(store: "Store", of_source: Trace) -> None:
    """Remove staged units of the source with the rest of their runs, which cannot go on, what training runs and caches keep (nobody is
    alive, and their plans name contents that are gone), and all that nothing names."""
    for kind in DATA_KINDS:
        staged = store.files.entries(f"{kind}/staging")
        folders = {
            entry.path.rpartition("/")[0]
            for entry in staged
            if entry.path.endswith(SUFFIX) and _stages_source(store, kind, entry.path, of_source)
        }
        for entry in staged:
            if entry.path.rpartition("/")[0] in folders:
                store.files.delete(entry.path)
    versions = [manifest for kind in (*DATA_KINDS, *MODEL_KINDS) for manifest in store.versions(kind)]
    kept_by_runs = {entry.path for folder in (layout.TRAIN, layout.CACHE) for entry in store.files.entries(folder)}
    shard_hashes = {shard.sha256 for manifest in versions for shard in manifest.shards}
    old_hashes = {
        path for kind in DATA_KINDS for path in kept_hashes.unneeded(store.files, kind, shard_hashes, strict=True)
    }
    store.files.delete_all(sorted(leftovers(store, versions) | kept_by_runs | old_hashes))


def _stages_source(store: "Store", kind: str, path: str, of_source: Trace) -> bool:
    unit = read_unit(store.files, path)
    if unit is None:
        return False
    shard = unit.shard
    table = read_shard(store.files.local_path(layout.shard_path(kind, shard.sha256), shard.num_bytes, shard.sha256))
    return bool(mask(store, kind, table, of_source).any())


def _refuse_live_runs(store: "Store") -> None:
    live = sorted(live_plans(store))
    if live:
        kind, plan_id = live[0]
        raise StoreError(f"{kind} {plan_id[:8]} is being made now: wait for it or stop it, then forget.")
