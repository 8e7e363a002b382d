"""Evaluation sets that nothing may be trained on: registered, listed, compared with the corpus, let go.

Reads    a folder in any format of a source; evalset, raw, annotated, instructions, sequences
Writes   raw behind `evalset-NAME` and evalset behind NAME, by the edges `source_to_raw` and `raw_to_evalset`

`describe` gives a report its rows:
    {"name": "esc50", "items": 2000, "hours": 2.78, "with_text": 0, "licences": ["CC-BY-NC-3.0"], "content_id": "77aa…",
     "checked": true, "checked_at": 1700000000.0, "leaked_clips": 12, "leaked_training_clips": 9, "held_back": 9}
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_pipelines.contamination import Contamination, registered
from uniaudio_pipelines.jobs import Job, job_to_json
from uniaudio_pipelines.raw_to_evalset.job import RawToEvalset, check_set_name
from uniaudio_pipelines.sequences_to_checkpoint.gate import check_leaks, compared_with
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_schemas.durations import spoken
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.store.runs import read_runs

_UNITS_ALONE = 8
"""Most shards for which one process reads a folder sooner than Ray starts."""
HELD_BACK = "leak"
"""Reason of `instructions` for a clip that was not made into training examples."""
Say = Callable[[str], None]


def add(store: Store, name: str, folder: Path, say: Say) -> Manifest:
    """Register what a folder holds as the set `name`, in place of what it was before. The same contents again change nothing."""
    job = RawToEvalset(name=check_set_name(name))
    before = store.head("evalset", name)
    _run(store, SourceToRaw(source=str(folder), ref=job.raw_ref), say)
    version = _run(store, job, say)
    if before is not None and before.content_id == version.content_id:
        say(f"{name} is registered already, with the same {version.num_rows} items")
        return version
    say(
        f"{name} is registered: {version.num_rows} items, {spoken(3600 * _hours(version))}, {_with_text(version)} with text"
    )
    for reason, count in store.version_with("raw", version.parents["raw"]).dropped.items():
        say(f"not in it: {count} files ({reason})")
    say("training refuses to start until `annotate-corpus` and what follows from it have compared the corpus with it")
    return version


def remove(store: Store, name: str, say: Say) -> None:
    """Let go of a set: its refs go; its versions go with the next `uniaudio gc --delete`."""
    if name not in (sets := registered(store)):
        raise UsageError(
            f"`name` must be a registered set ({', '.join(sorted(sets)) or 'there is none'}), but is {name}."
        )
    store.unpoint("evalset", name)
    store.unpoint("raw", RawToEvalset(name=name).raw_ref)
    say(
        f"{name} is no evaluation set any more: training may use what it holds; `uniaudio gc --delete` removes its audio"
    )
    say("clips that were found to share something with it are held back until `annotate-corpus` runs again")


def describe(store: Store) -> list[dict[str, Any]]:
    """One row a set, see the module; counts are of the newest annotated and instructions."""
    annotated = store.head("annotated")
    is_compared = compared_with(store, annotated) if annotated else set()
    all_clips, training = _leaked(store, annotated) if annotated else ({}, {})
    held_back = _held_back(store, training)
    made_at = max(
        (run.started for run in read_runs(store) if annotated and run.plan_id == annotated.plan_id), default=None
    )
    return [
        {
            "name": name,
            "items": manifest.num_rows,
            "hours": round(_hours(manifest), 4),
            "with_text": _with_text(manifest),
            "licences": sorted(set(store.read(manifest, ["licence"])["licence"].to_pylist())),
            "content_id": manifest.content_id,
            "checked": (name, manifest.content_id) in is_compared,
            "checked_at": made_at,
            "leaked_clips": len(all_clips.get(name, ())),
            "leaked_training_clips": len(training.get(name, ())),
            "held_back": held_back[name],
        }
        for name, manifest in sorted(registered(store).items())
    ]


def compare(store: Store) -> list[dict[str, Any]]:
    """Compare the newest raw and annotated with every set now: rows of `contamination.LEAKS` with the paths of both sides."""
    evalsets = registered(store)
    raw, annotated = store.head("raw"), store.head("annotated")
    if raw is None or annotated is None or not evalsets:
        return []
    contamination = Contamination.find(store, raw, evalsets)
    items = _paths(store, list(evalsets.values()))
    rows = []
    for table in store.tables(annotated):
        about = {row["clip_id"]: row for row in table.select(["clip_id", "path", "split"]).to_pylist()}
        rows += [
            {**leak, **about[leak["clip_id"]], "item_path": items[leak["item"]]}
            for leak in contamination.leaks(table).to_pylist()
        ]
    return rows


def refusal(store: Store) -> str:
    """Why training on the newest sequences would be refused; empty where it would not."""
    sequences = store.head("sequences")
    if sequences is None:
        return ""
    try:
        check_leaks(store, sequences, None, ())
    except UsageError as error:
        return str(error)
    return ""


def _run(store: Store, job: Job, say: Say) -> Manifest:
    """Make the version that `job` plans, in a process of its own: reading audio may load what this layer does not."""
    plan = job.plan(store)
    version = store.version(plan.kind, plan.plan_id)
    if version is None:
        command = [sys.executable, "-m", f"uniaudio_pipelines.{job.EDGE}", "--store", str(store.root)]
        command += ["--job", job_to_json(job), *(["--num-workers", "0"] if len(plan.units) <= _UNITS_ALONE else [])]
        error = ""
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                if line.startswith("ERROR: "):
                    error = line.removeprefix("ERROR: ").strip()
                elif not line.startswith(("PROGRESS ", "SUMMARY ")):
                    say(line.rstrip())
        version = store.version(plan.kind, plan.plan_id)
        if process.returncode or version is None:
            raise UsageError(error or f"{job.EDGE} ended with status {process.returncode}, and nothing is registered.")
    store.point(plan.kind, job.ref, version)
    return version


def _leaked(store: Store, annotated: Manifest) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Name of a set -> clips that share something with it: all, and those of the training split."""
    everything: dict[str, set[str]] = {}
    training: dict[str, set[str]] = {}
    for table in store.tables(annotated, ["clip_id", "split", "leaks"]):
        for row in table.filter(pc.greater(pc.list_value_length(table["leaks"]), 0)).to_pylist():
            for name in row["leaks"]:
                everything.setdefault(name, set()).add(row["clip_id"])
                if row["split"] == "train":
                    training.setdefault(name, set()).add(row["clip_id"])
    return everything, training


def _held_back(store: Store, training: dict[str, set[str]]) -> Counter[str]:
    """Name of a set -> its training clips of which no example was made."""
    instructions = store.head("instructions")
    if instructions is None or not training:
        return Counter()
    drops = store.dropped(instructions)
    ids = set(drops.filter(pc.equal(drops["reason"], HELD_BACK))["row_id"].to_pylist())
    return Counter({name: len(clips & ids) for name, clips in training.items()})


def _paths(store: Store, manifests: list[Manifest]) -> dict[str, str]:
    tables = [store.read(one, ["clip_id", "path"]).replace_schema_metadata(None) for one in manifests]
    table = pa.concat_tables(tables)
    return dict(zip(table["clip_id"].to_pylist(), table["path"].to_pylist(), strict=True))


def _hours(manifest: Manifest) -> float:
    return manifest.statistics.get("audio_s", 0.0) / 3600


def _with_text(manifest: Manifest) -> int:
    return int(manifest.statistics.get("num_with_text", 0.0))
