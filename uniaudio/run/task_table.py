"""The table of tasks: what each is given and writes; or, of a store, how much of each there is and why there is none.

    uniaudio tasks                     asr   transcribe   prompt, audio -> transcript   wer, cer
    uniaudio tasks --store data/store  asr   41   0.03   5102   train 38, val 3   queen, vctk
                                       lyric_recognition   0   0.00   0   no clip has music with `lyrics`

Reads the statistics of the newest version of `instructions`, which say it without a row being read.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from uniaudio_schemas.durations import spoken
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.task_statistics import TaskCounts, read_statistics
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.run.request import continues_text, is_runnable, main_text, needs_audio, plan_of_task
from uniaudio.tasks import ALIASES, TASKS, Task
from uniaudio.tasks.annotations import NEEDS

MOST_EXAMPLES = 4
"""Solved examples that a form offers for a task that has no slots for them."""
_HEAD = ("TASK", "ALIASES", "GIVEN -> WRITTEN", "JUDGED BY")
_STORE_HEAD = ("TASK", "EXAMPLES", "AUDIO", "POSITIONS", "SPLITS", "CORPORA", "WHY NONE")


def task_lines(names: Iterable[str]) -> list[str]:
    """The declarations of these tasks."""
    rows = [
        (task.name, ", ".join(_aliases(task.name)), task.describe(), ", ".join(task.metrics))
        for task in (TASKS[name] for name in TASKS if name in set(names))
    ]
    return _lines([_HEAD, *rows])


def task_records(names: Iterable[str]) -> list[dict[str, Any]]:
    """The declarations of these tasks as records for JSON."""
    wanted_names = set(names)
    return [
        {
            "task": task.name,
            "aliases": _aliases(task.name),
            "given_and_written": task.describe(),
            "metrics": list(task.metrics),
            "mixture": task.mixture,
            "needs": [NEEDS[need][0] for need in task.needs],
        }
        for task in TASKS.values()
        if task.name in wanted_names
    ]


def task_forms(names: Iterable[str]) -> list[dict[str, Any]]:
    """What a form for each of these tasks asks: names of its inputs, kinds of what it writes, parts of a solved example.
    A description is what the task is asked in, for people."""
    wanted_names = set(names)
    return [_form(task) for task in TASKS.values() if task.name in wanted_names and is_runnable(task)]


def _form(task: Task) -> dict[str, Any]:
    slots = task.slots(task.num_repeats[0])[: -len(plan_of_task(task))]
    main = main_text(task)
    inputs = {
        "audio": needs_audio(task),
        "text": continues_text(task) or main is not None,
        "style": any(slot.name == "style" for slot in slots),
        "voice": any(slot.kind == "audio_prompt" for slot in slots),
    }
    outputs = dict.fromkeys("text" if kind == "text" else "audio" for kind in plan_of_task(task))
    repeating = [slot for slot in task.order if slot.repeats]
    parts = {
        slot.name.removeprefix("example_"): "text" if slot.is_text else "audio" for slot in repeating or task.order
    }
    least, most = task.num_repeats if repeating else (0, MOST_EXAMPLES)
    return {
        "name": task.name,
        "aliases": _aliases(task.name),
        "description": task.prompts["en"][0] if task.has_prompt else task.describe(),
        "inputs": [name for name, is_given in inputs.items() if is_given],
        "output": ", ".join(outputs),
        "examples": {"parts": list(parts.values()), "names": list(parts), "least": least, "most": most},
    }


def store_records(store: Store) -> list[dict[str, Any]]:
    """One record for each task: examples, hours and positions, by split and by corpus; clips without an example, by reason; and why
    a task has none at all."""
    manifest = store.head("instructions")
    if manifest is None:
        raise UsageError(
            f"{store.root}: has no version of `instructions` yet: run `prefect deployment run build-multitask-data/local` first."
        )
    counts, met = read_statistics(manifest.statistics)
    if not counts and manifest.num_rows:
        counts = _counted(store, manifest)
    return [_record(task, counts.get(task.name, TaskCounts()), met) for task in TASKS.values()]


def store_lines(records: Sequence[dict[str, Any]]) -> list[str]:
    rows = [
        (
            one["task"],
            str(one["examples"]),
            spoken(3600 * one["hours"]),
            str(one["positions"]),
            ", ".join(f"{split} {totals['examples']}" for split, totals in one["splits"].items()),
            ", ".join(one["corpora"]),
            one["why_none"],
        )
        for one in records
    ]
    return _lines([_STORE_HEAD, *rows])


def _record(task: Task, counts: TaskCounts, met: dict[str, int]) -> dict[str, Any]:
    num_examples = int(counts.total("examples"))
    return {
        "task": task.name,
        **_totals(counts),
        "splits": {split: _totals(counts, split=split) for split in counts.splits},
        "corpora": {corpus: _totals(counts, corpus=corpus) for corpus in counts.corpora},
        "not_built": dict(sorted(counts.not_built.items())),
        "why_none": "" if num_examples else _why_none(task, counts, met),
    }


def _totals(counts: TaskCounts, **which: str) -> dict[str, Any]:
    return {
        "examples": int(counts.total("examples", **which)),
        "hours": round(counts.total("seconds", **which) / 3600, 4),
        "positions": int(counts.total("positions", **which)),
    }


def _why_none(task: Task, counts: TaskCounts, met: dict[str, int]) -> str:
    """What no clip has; else what spoke against those that have it."""
    if not met:
        return "not known: the version was written without statistics of tasks"
    missing_needs = [NEEDS[need][0] for need in task.needs if not met.get(need)]
    if missing_needs:
        return f"no clip has {', '.join(missing_needs)}"
    if counts.not_built:
        return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.not_built.items()))
    return "no clips fit together, or the job builds none"


def _counted(store: Store, manifest: Manifest) -> dict[str, TaskCounts]:
    """Examples of a version without statistics of tasks, from its rows; their lengths are not known."""
    counts: dict[str, TaskCounts] = {}
    for table in store.tables(manifest, ["task", "split", "corpus"]):
        for row in table.group_by(["task", "split", "corpus"]).aggregate([([], "count_all")]).to_pylist():
            key = ("examples", row["split"], row["corpus"])
            counts.setdefault(row["task"], TaskCounts()).totals[key] += row["count_all"]
    return counts


def _aliases(name: str) -> list[str]:
    return [alias for alias, task in ALIASES.items() if task == name]


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def as_json(records: Sequence[dict[str, Any]]) -> str:
    return json.dumps(records, ensure_ascii=False, indent=1)
