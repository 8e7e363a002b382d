"""What `uniaudio lineage`, `diff` and `forget` answer, as JSON values and as lines for a reader."""

import json
from collections.abc import Callable
from typing import Any

from uniaudio_schemas.durations import spoken
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.history.forget import Survey, finish, forget, survey, unfinished
from uniaudio_schemas.history.lineage import examples, sources
from uniaudio_schemas.history.traces import as_records
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.forgotten import replacements
from uniaudio_schemas.store.manifest import Manifest

_SHOWN = 10
"""Ids or files that a reader sees; `--json` has all."""


def step_answer(store: Store, checkpoint: Manifest, step: int) -> dict[str, Any]:
    """The examples of a training step of a checkpoint's own stage, and the files behind them."""
    from uniaudio.stages.config import StageConfig
    from uniaudio.training.lm.steps import sequence_ids_of_step
    from uniaudio.training.sequences.dataset import SequenceSet

    if checkpoint.kind != "checkpoint":
        raise UsageError(f"`step` must be of a checkpoint, but the id is of {checkpoint.kind}.")
    content = checkpoint.parents["sequences"]
    if ("sequences", content) in replacements(store):
        raise UsageError(
            f"`step` cannot be told any more: some of sequences {content[:8]} was forgotten, and the order hangs on every row."
        )
    sequences = store.version_with("sequences", content)
    stage = StageConfig.from_dict(checkpoint.parameters["stage"])
    ids = sequence_ids_of_step(SequenceSet.open(store, sequences), stage, checkpoint.parameters["seed"], step)
    rows, files = examples(store, sequences, ids)
    return {
        "kind": "checkpoint",
        "plan_id": checkpoint.plan_id,
        "stage": stage.name,
        "step": step,
        "sequences": sequences.content_id,
        "sequence_ids": ids,
        "examples": rows,
        "sources": sources(files),
    }


def step_lines(answer: dict[str, Any]) -> list[str]:
    head = (
        f"{answer['stage']} step {answer['step']}: {len(answer['sequence_ids'])} sequences of {answer['sequences'][:8]}"
    )
    return [head, *_example_lines(answer["examples"]), *_source_lines(answer["sources"])]


def lineage_lines(answer: dict[str, Any]) -> list[str]:
    lines = [_version_line(answer)]
    lines += [f"  <- {_version_line(version)}" for version in answer["versions"]]
    lines += [f"  <- {one['kind']} {one['content_id'][:8]}: not in the store any more" for one in answer["missing"]]
    lines += _example_lines(answer.get("examples", []))
    lines += [line for clip in answer.get("clips", []) for line in _clip_lines(clip)]
    return lines + _source_lines(answer["sources"])


def _version_line(version: dict[str, Any]) -> str:
    refs = f" ({', '.join(version['refs'])})" if version["refs"] else ""
    model = version.get("model", {})
    parts = [f"{name} {model[name]}" for name in ("stage", "size", "step") if model.get(name) is not None]
    parts += [f"id {str(model[name])[:8]}" for name in ("checkpoint_id", "codec_id") if name in model]
    parts += [f"{steps} steps on {ranks} rank(s)" for ranks, steps in version.get("steps_on_ranks", {}).items()]
    if version.get("forgotten_files"):
        parts.append(f"could draw from {version['forgotten_files']} files that were forgotten since")
    parents = ", ".join(f"{kind} {content[:8]}" for kind, content in version["parents"].items())
    line = f"{version['kind']} {version['content_id'][:8]}{refs}, plan {version['plan_id'][:8]}: "
    return line + ", ".join([*parts, f"{version['rows']} rows"]) + (f", from {parents}" if parents else "")


def _example_lines(examples: list[dict[str, Any]]) -> list[str]:
    lines = []
    for example in examples:
        name = example.get("sequence_id") or example.get("instruction_id")
        lines.append(f"{name}: {example['task']}, {example['split']}, corpus {example['corpus']}")
        lines += [f"  {line}" for clip in example["clips"] for line in _clip_lines(clip)]
    return lines


def _clip_lines(clip: dict[str, Any]) -> list[str]:
    parts = [f"clip {clip['clip_id'][:8]}"]
    if "tokens" in clip:
        parts.append(f"tokens {clip['tokens']['plan_id'][:8]} of codec {clip['tokens']['codec'][:8]}")
    if "recipe" in clip:
        parents = ", ".join(parent[:8] for parent in clip["recipe"]["parents"])
        parts.append(f"{clip['recipe']['operation']} of {parents}, {clip['recipe']['parameters']}")
    if clip.get("cut", {}).get("num_samples"):
        cut = clip["cut"]
        parts.append(f"samples {cut['first_sample']} … {cut['first_sample'] + cut['num_samples']}")
    if "file" in clip:
        parts.append(f"{clip['file']['path']} ({clip['file']['licence']}, sha256 {clip['file']['sha256'][:8]})")
    return [" <- ".join(parts)]


def _source_lines(sources: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'files':>7}{'audio':>11}  {'corpus':<24}licence"]
    for one in sources:
        lines.append(f"{one['files']:>7}{spoken(one['seconds']):>11}  {one['corpus']:<24}{one['licence']}")
    return lines


def difference_lines(answer: dict[str, Any]) -> list[str]:
    first, second = answer["plan_id"]
    verdict = "hold equal rows" if answer["is_equal"] else "hold different rows"
    lines = [f"{answer['kind']} {first[:8]} and {second[:8]} {verdict}: {_arrow(answer['num_rows'])} rows"]
    shards = answer["shards"]
    lines.append(f"shards: {shards['shared']} shared, of {shards['first']} and {shards['second']}")
    for name in ("code_version", "numerics", "schema_version"):
        if name in answer:
            lines.append(f"{name}: {_arrow(answer[name])}")
    for name in ("parents", "parameters", "dropped"):
        lines += [f"{name} {key}: {_arrow(pair)}" for key, pair in answer[name].items()]
    rows = answer["rows"]
    for name in ("added", "removed", "changed"):
        if rows[name]:
            lines.append(f"{len(rows[name])} rows {name}: {_some(rows[name])}")
    if rows["columns"]:
        lines.append(f"columns that changed: {', '.join(rows['columns'])}")
    return lines + (_codes_lines(answer["codes"]) if "codes" in answer else [])


def _codes_lines(codes: dict[str, Any]) -> list[str]:
    """A table of the branches, and one of the clips that changed most."""
    lines = [f"codes of {codes['changed']} of {codes['clips']} clips in both differ"]
    if not codes["changed"]:
        return lines
    lines.append(f"{'branch':<24}{'clips':>9}{'of all codes':>15}{'of theirs':>12}")
    for name, one in codes["branches"].items():
        lines.append(f"{name:<24}{one['clips']:>9}{one['share']:>15.3%}{one['share_of_changed']:>12.2%}")
    lines.append("most changed")
    for clip in codes["most"]:
        shares = ", ".join(f"{share:.1%} of {name}" for name, share in clip.items() if name != "clip_id")
        lines.append(f"  {clip['clip_id']}  {shares}")
    return lines


def _arrow(pair: list[Any]) -> str:
    before, after = (json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value for value in pair)
    return f"{before} -> {after}" if before != after else str(before)


def _some(values: list[str]) -> str:
    return ", ".join(values[:_SHOWN]) + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")


def forget_source(store: Store, source: str, say: Callable[[str], None], *, really: bool) -> dict[str, Any]:
    """Do it, or say what would be done. Returns the same as JSON values, with what was or would be forgotten."""
    ended = finish(store, say) if really else 0
    begun = [] if really else unfinished(store)
    for one in begun:
        say(f"begun and not ended: {len(one.raw)} files; `--really` ends it")
    answer = {"source": source, "forgotten": really, "files_being_forgotten": [len(one.raw) for one in begun]}
    try:
        source_survey = survey(store, source)
    except UsageError:
        if ended:
            return {**answer, "files": [], "versions": [], "models": []}
        raise
    answer |= _survey_answer(source_survey)
    for line in _survey_lines(source_survey):
        say(line)
    if not really:
        say("nothing was written; `--really` forgets it")
        return answer
    forget(store, source_survey, say)
    say(
        f"forgotten: {len(source_survey.files)} files. Delete them from the source folder yourself, and what was made from them elsewhere: "
        "the report (`uniaudio report` makes it again), exported models and audio"
    )
    return answer


def _survey_answer(source_survey: Survey) -> dict[str, Any]:
    return {
        "files": [{"clip_id": clip, "path": path} for clip, path in sorted(source_survey.files.items())],
        "versions": [
            {
                "kind": holder.manifest.kind,
                "plan_id": holder.manifest.plan_id,
                "content_id": holder.manifest.content_id,
                "refs": source_survey.refs.get((holder.manifest.kind, holder.manifest.plan_id), []),
                "rows": holder.manifest.num_rows,
                "rows_of_source": sum(holder.num_rows.values()),
                "shards": len(holder.manifest.shards),
                "shards_of_source": len(holder.num_rows),
            }
            for holder in source_survey.holders
        ],
        "models": as_records(source_survey.models),
    }


def _survey_lines(source_survey: Survey) -> list[str]:
    paths = sorted(source_survey.files.values())
    lines = [f"{len(paths)} files: {_some(paths)}"]
    for holder in source_survey.holders:
        manifest = holder.manifest
        refs = f" ({', '.join(names)})" if (names := source_survey.refs.get((manifest.kind, manifest.plan_id))) else ""
        rows = f"{sum(holder.num_rows.values())} of {manifest.num_rows} rows"
        lines.append(
            f"{manifest.kind} {manifest.plan_id[:8]}{refs}: {rows}, {len(holder.num_rows)} of {len(manifest.shards)} shards"
        )
    for model in source_survey.models:
        refs = f" ({', '.join(model.refs)})" if model.refs else ""
        saw = f"up to {model.num_examples} training examples" if model.stage else "its training clips"
        lines.append(
            f"stays as it is: {' '.join(filter(None, (model.kind, model.stage, model.model_id[:8])))}{refs} could draw {saw} of it"
        )
    return lines
