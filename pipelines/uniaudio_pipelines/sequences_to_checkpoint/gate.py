"""The decontamination gate: nothing is trained on that shares sound or long text with a registered evaluation set.

Reads    evalset (which sets there are), annotated (what it was compared with, column `leaks`), sequences (clips of training examples)
Raises   UsageError:
    `sequences` must share nothing with esc50, but 2 of its 311 training examples do, such as a3… (esc50): build them anew with
    `leaks` = drop, or name esc50 in `allow_leaks`.

A checkpoint that training starts from has learned from sequences too, and they are asked the same. Light: manifests and a few columns.
"""

from collections import Counter
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.forgotten import replacements, version_with
from uniaudio_schemas.manifest import Manifest
from uniaudio_schemas.store import Store
from uniaudio_schemas.traces import names_any

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
    _check(store, sequences, "`sequences`", guarded)
    for content_id in _learned_from(store, start) - {sequences.content_id}:
        found = version_with(store, "sequences", content_id)
        if found is None:
            raise UsageError(
                f"`parent` must have learned nothing of {', '.join(guarded)}, but the sequences {content_id[:8]} that it was "
                f"trained on are not in the store any more: name the sets in `allow_leaks`, or start anew."
            )
        _check(store, found, f"`parent`, trained on sequences {content_id[:8]},", guarded)


def leaking_examples(store: Store, sequences: Manifest, names: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Id of every training example with a clip that shares something with one of the sets, and which sets these are."""
    leaks: dict[str, set[str]] = {}
    wanted = pa.array(sorted(names), pa.string())
    for annotated in _annotated(store, sequences)[:1]:
        for table in store.tables(annotated, ["clip_id", "leaks"]):
            for row in table.filter(pa.array(names_any(table["leaks"], wanted))).to_pylist():
                leaks[row["clip_id"]] = set(row["leaks"]).intersection(names)
    if not leaks:
        return
    clips = pa.array(sorted(leaks), pa.string())
    for table in store.tables(sequences, ["sequence_id", "split", "clip_ids"]):
        trained = table.filter(pc.equal(table["split"], "train"))
        for row in trained.filter(pa.array(names_any(trained["clip_ids"], clips))).to_pylist():
            yield row["sequence_id"], sorted(set().union(*(leaks.get(clip, ()) for clip in row["clip_ids"])))


def compared_with(store: Store, annotated: list[Manifest]) -> set[tuple[str, str]]:
    """(name, content id) of every set that one of the versions, which hold equal rows, was compared with."""
    replaced = replacements(store)
    said = [pair for manifest in annotated for pair in manifest.parameters.get("evalsets", {}).items()]
    # Of a set that lost items since, what was found is still all there is.
    return {*said, *((name, replaced.get(("evalset", content), content)) for name, content in said)}


def _check(store: Store, sequences: Manifest, what: str, guarded: dict[str, str]) -> None:
    is_compared = compared_with(store, _annotated(store, sequences))
    if late := [name for name, content in guarded.items() if (name, content) not in is_compared]:
        raise UsageError(
            f"{what} must be compared with every evaluation set, but {', '.join(late)} was registered or changed later: "
            f"run `prefect deployment run annotate-corpus/local` and what follows from it, or name it in `allow_leaks`."
        )
    shown: list[str] = []
    counts: Counter[str] = Counter()
    num_examples = 0
    for example, names in leaking_examples(store, sequences, guarded):
        num_examples += 1
        counts.update(names)
        if len(shown) < _SHOWN:
            shown.append(f"{example} ({', '.join(names)})")
    if num_examples:
        sets = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
        raise UsageError(
            f"{what} must share no sound and no long text with evaluation sets, but {num_examples} training examples do, "
            f"with {sets}; such as {', '.join(shown)}: build them with `leaks` = drop, or name the "
            f"sets in `allow_leaks`."
        )


def _annotated(store: Store, sequences: Manifest) -> list[Manifest]:
    """The versions of annotated behind `sequences`: of equal rows, each compared with the sets of its time."""
    instructions = version_with(store, "instructions", sequences.parents.get("instructions", ""))
    wanted = instructions.parents.get("annotated", "") if instructions else ""
    found = version_with(store, "annotated", wanted)
    return [one for one in store.versions("annotated") if found is not None and one.content_id == found.content_id]


def _learned_from(store: Store, start: Manifest | None) -> set[str]:
    """Content ids of the sequences that a checkpoint and those before it were trained on."""
    content_ids = set()
    while start is not None:
        content_ids.add(start.parents["sequences"])
        before = start.parents.get("checkpoint", "")
        start = version_with(store, "checkpoint", before) if before else None
    return content_ids
