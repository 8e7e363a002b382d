"""The decontamination gate: nothing is trained on that shares sound or long text with a registered evaluation set.

Reads    evalset (which sets there are), annotated (what it was compared with, column `leaks`), sequences (clips of training examples)
Raises   UsageError:
    `sequences` must share no sound and no long text with evaluation sets, but 2 training examples do, with esc50 (2); such as a3…
    (esc50), b7… (esc50): build them with `leaks` = drop, or name the sets in `allow_leaks`.

A checkpoint that training starts from has learned from sequences too, and they are asked the same. Light: manifests and a few columns.
"""

from collections import Counter
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.history.named import naming
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.forgotten import replacements, version_with
from uniaudio_schemas.store.manifest import Manifest

_SHOWN = 3
"""Examples that the error names."""


def check_leaks(store: Store, sequences: Manifest, start: Manifest | None, allowed: Collection[str]) -> None:
    """`start`: the checkpoint that training starts from; `allowed`: names of sets that may be trained on."""
    registered = store.refs("evalset")
    if unknown := sorted(set(allowed) - set(registered)):
        raise UsageError(
            f"`allow_leaks` must name registered evaluation sets ({', '.join(sorted(registered)) or 'there is none'}), "
            f"but names {', '.join(unknown)}."
        )
    guarded = {name: registered[name].content_id for name in sorted(set(registered) - set(allowed))}
    if not guarded:
        return
    _check(store, [sequences], "`sequences`", guarded)
    for content_id in sorted(_learned_from(store, start) - {sequences.content_id}):
        versions = _with_contents(store, "sequences", {content_id})
        if not versions:
            raise UsageError(
                f"`parent` must have learned nothing of {', '.join(guarded)}, but the sequences {content_id[:8]} that it was "
                f"trained on are not in the store any more: name the sets in `allow_leaks`, or start anew."
            )
        _check(store, versions, f"`parent`, trained on sequences {content_id[:8]},", guarded)


def compared_with(store: Store, annotated: Manifest) -> set[tuple[str, str]]:
    """(name, content id) of every set that a version was compared with."""
    replaced = replacements(store)
    said = annotated.parameters.get("evalsets", {}).items()
    # Of a set that lost items since, what was found is still all there is.
    return {*said, *((name, replaced.get(("evalset", content), content)) for name, content in said)}


def leaking_examples(
    store: Store, sequences: Manifest, annotated: dict[str, Manifest]
) -> Iterator[tuple[str, list[str]]]:
    """Id of every training example with a clip that shares something with a set, and which sets these are; `annotated`: name of a set
    -> the version that was compared with it."""
    leaks: dict[str, set[str]] = {}
    for plan_id in sorted({manifest.plan_id for manifest in annotated.values()}):
        names = {name for name, manifest in annotated.items() if manifest.plan_id == plan_id}
        wanted = pa.array(sorted(names), pa.string())
        for table in store.tables(annotated[min(names)], ["clip_id", "leaks"]):
            for row in table.filter(pa.array(naming(table, ("leaks",), wanted))).to_pylist():
                leaks.setdefault(row["clip_id"], set()).update(names.intersection(row["leaks"]))
    if not leaks:
        return
    clips = pa.array(sorted(leaks), pa.string())
    for table in store.tables(sequences, ["sequence_id", "split", "clip_ids"]):
        trained = table.filter(pc.equal(table["split"], "train"))
        for row in trained.filter(pa.array(naming(trained, ("clip_ids",), clips))).to_pylist():
            yield row["sequence_id"], sorted(set().union(*(leaks.get(clip, ()) for clip in row["clip_ids"])))


def _check(store: Store, sequences: list[Manifest], what: str, guarded: dict[str, str]) -> None:
    """`sequences`: versions of equal rows."""
    annotated = _compared(store, sequences, guarded)
    if late := sorted(set(guarded) - set(annotated)):
        raise UsageError(
            f"{what} must be compared with every evaluation set, but {', '.join(late)} was registered or changed later: "
            f"run `prefect deployment run annotate-corpus/local` and what follows from it, or name it in `allow_leaks`."
        )
    shown: list[str] = []
    counts: Counter[str] = Counter()
    num_examples = 0
    for example, names in leaking_examples(store, sequences[0], annotated):
        num_examples += 1
        counts.update(names)
        if len(shown) < _SHOWN:
            shown.append(f"{example} ({', '.join(names)})")
    if num_examples:
        sets = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
        raise UsageError(
            f"{what} must share no sound and no long text with evaluation sets, but {num_examples} training examples do, "
            f"with {sets}; such as {', '.join(shown)}: build them with `leaks` = drop, or name the sets in `allow_leaks`."
        )


def _compared(store: Store, sequences: list[Manifest], guarded: dict[str, str]) -> dict[str, Manifest]:
    """Name of a set -> a version of annotated behind `sequences` that was compared with it, the newest where it is one.

    Annotated anew, a corpus may give equal instructions: then several versions are behind them, each compared with the sets of its time.
    """
    instructions = _with_contents(store, "instructions", {one.parents.get("instructions", "") for one in sequences})
    annotated = _with_contents(store, "annotated", {one.parents.get("annotated", "") for one in instructions})
    newest = store.head("annotated")
    evalsets: dict[str, Manifest] = {}
    for manifest in sorted(annotated, key=lambda one: newest is None or one.plan_id != newest.plan_id):
        said = compared_with(store, manifest)
        for name in (name for name, content_id in guarded.items() if (name, content_id) in said):
            evalsets.setdefault(name, manifest)
    return evalsets


def _with_contents(store: Store, kind: str, content_ids: set[str]) -> list[Manifest]:
    """Every version with one of these contents, or with what is left of it where some was forgotten."""
    replaced = replacements(store)
    wanted = content_ids | {replaced.get((kind, content_id), content_id) for content_id in content_ids}
    return [manifest for manifest in store.versions(kind) if manifest.content_id in wanted]


def _learned_from(store: Store, start: Manifest | None) -> set[str]:
    """Content ids of the sequences that a checkpoint and those before it were trained on."""
    content_ids = set()
    while start is not None:
        content_ids.add(start.parents["sequences"])
        before = start.parents.get("checkpoint", "")
        start = version_with(store, "checkpoint", before) if before else None
    return content_ids
