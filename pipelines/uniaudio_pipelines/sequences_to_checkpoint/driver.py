"""The driver: trains the stages that are due one after the other and publishes each; prints what the flow follows.

Printed:
    sequences_to_checkpoint stage1 40/60 steps, loss 3.21, …
    PROGRESS {"done": 100, "total": 280, "unit": "steps"}
    SUMMARY {"kind": "checkpoint", "plan_id": "…", "stages": ["stage1", …], …}
"""

import json
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uniaudio_schemas.fingerprint import canonical_json
from uniaudio_schemas.kinds.checkpoint import TASK_STATISTIC, Checkpoint, HeldOutLoss, LedgerEntry
from uniaudio_schemas.kinds.codec import Metric
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_pipelines.jobs import parent
from uniaudio_pipelines.ray_training.run_folder import RESULT_FILE, RunFolder, steps_on_ranks
from uniaudio_pipelines.running.cost import log_cost
from uniaudio_pipelines.running.metering import Meter, Usage
from uniaudio_pipelines.sequences_to_checkpoint.job import DueStage, SequencesToCheckpoint
from uniaudio_pipelines.sequences_to_checkpoint.start import check_start
from uniaudio_pipelines.sequences_to_checkpoint.training import train_due_stage


@dataclass
class _Run:
    """What a run has done so far."""

    job: SequencesToCheckpoint
    owner: str
    stages: tuple[str, ...]
    """Stages of the job that have something to learn from."""
    meter: Meter = field(default_factory=Meter)
    started: float = field(default_factory=time.monotonic)
    trained: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    num_steps_done: int = 0

    def say(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def show(self, state: dict[str, Any]) -> None:
        self.say(f"{self.job.EDGE} {state['line']}")
        self.progress(state["step"])

    def progress(self, step: int) -> None:
        total = sum(self.job.stage(name).num_steps for name in self.stages)
        self.say("PROGRESS " + json.dumps({"done": self.num_steps_done + step, "total": total, "unit": "steps"}))


def run_stages(store: Store, job: SequencesToCheckpoint, *, owner: str) -> Manifest:
    """Bring every stage of `job` up to date; returns the version of the last one, which `job.ref` then points to."""
    sequences = parent(store, "sequences", "build-sequences", job.sequences)
    stages = job.learnable(sequences)
    run = _Run(job=job, owner=owner, stages=stages)
    for name, reason in job.left_out(sequences).items():
        run.say(f"{job.EDGE} leaves out {name}: {reason}")
    while True:
        # Planned anew each time: the stage that was just published is the next one's parent.
        *published, due = job.chain(store)
        run.num_steps_done = sum(earlier.stage.num_steps for earlier in published)
        manifest = store.version(job.WRITES, due.plan.plan_id) or _train_and_publish(store, run, due)
        for earlier in published:
            version = store.version(job.WRITES, earlier.plan.plan_id)
            if version is not None:
                store.point(job.WRITES, job.stage_ref(earlier.stage.name), version)
        store.point(job.WRITES, job.stage_ref(due.stage.name), manifest)
        if due.stage.name == stages[-1]:
            break
    store.point(job.WRITES, job.ref, manifest)
    _summarize(store, run, manifest)
    return manifest


def _train_and_publish(store: Store, run: _Run, due: DueStage) -> Manifest:
    folder, name = RunFolder(store, due.plan.plan_id), due.stage.name
    with store.writer(due.plan, owner=run.owner, ref=name) as writer:
        if name not in writer.done():
            size = f"{due.stage.num_rows} x {due.stage.context} positions"
            check_start(store, run.job, due)
            run.say(f"{run.job.EDGE} {name}: {due.stage.num_steps} steps of {size}")
            run.progress(0)
            with folder.followed(run.show):
                train_due_stage(store, run.job, due)
            final, scratch = folder.final()
            result = json.loads((final / RESULT_FILE).read_text(encoding="utf-8"))
            weights = writer.put_blob(final / "model.safetensors")
            run.meter.report(Usage(**result["usage"]))
            row = _row(due, run.job, result, weights, store.open_blob(weights))
            dropped = [
                Dropped(row_id=row_id, reason="longer_than_context", detail=f"{length} positions", unit=name)
                for row_id, length in result["too_long"]
            ]
            run.dropped.update(drop.reason for drop in dropped)
            metadata = {
                "vocabulary_fingerprint": row.vocabulary_fingerprint,
                "codec_fingerprint": row.codec_fingerprint,
            }
            # A folder that an earlier version of this edge left names no tasks.
            tasks = {f"{TASK_STATISTIC}{task}": 1.0 for task in result.get("tasks", [])}
            statistics = {"num_steps": float(row.step), **steps_on_ranks(result), **tasks}
            writer.put_shard(name, [row], dropped, metadata, statistics, blobs=[weights])
            shutil.rmtree(scratch, ignore_errors=True)
            for line in _held_out_lines(row):
                run.say(f"{run.job.EDGE} {line}")
        manifest = writer.publish()
    folder.clear()
    run.trained.append(name)
    run.progress(due.stage.num_steps)
    return manifest


def _row(due: DueStage, job: SequencesToCheckpoint, result: dict[str, Any], weights: str, path: Path) -> Checkpoint:
    from uniaudio.training.lm.weights import checkpoint_id, read_tensors

    name = due.stage.name
    described = {"model": result["model"], "stage": due.plan.parameters["stage"], "vocabulary": result["vocabulary"]}
    config = canonical_json(described)
    return Checkpoint(
        checkpoint_id=checkpoint_id(config, name, read_tensors(path)),
        stage=name,
        size=job.size,
        step=result["step"],
        parent=result["parent"],
        weights=weights,
        config=config,
        vocabulary_fingerprint=result["vocabulary_fingerprint"],
        codec_fingerprint=result["codec_fingerprint"],
        sequences=due.sequences.content_id,
        data_position=result["num_drawn"],
        seed=job.seed,
        ledger=[
            LedgerEntry(mixture=group, num_examples=entry["num_examples"], num_loss_tokens=entry["num_loss_tokens"])
            for group, entry in sorted(result["ledger"].items())
        ],
        held_out=[HeldOutLoss(task=task, **losses) for task, losses in sorted(result["held_out"].items())],
        metrics=[Metric(phase=name, **point) for point in result["metrics"]],
    )


def _held_out_lines(row: Checkpoint) -> list[str]:
    losses = [
        f"{row.stage} held-out {loss.task}: {loss.before:.3f} -> {loss.after:.3f} nats a token (unigram {loss.unigram:.3f}, "
        f"uniform {loss.uniform:.3f}){'' if loss.beside_chance == 'better' else ', no better than chance'}, "
        f"{loss.num_sequences} sequences"
        for loss in row.held_out
    ]
    num_better, num_tasks = row.better_than_chance
    return [*losses, f"{row.stage} is better than chance in {num_better} of {num_tasks} tasks"]


def _summarize(store: Store, run: _Run, manifest: Manifest) -> None:
    seconds = time.monotonic() - run.started
    summary = {
        "edge": run.job.EDGE,
        "kind": manifest.kind,
        "plan_id": manifest.plan_id,
        "content_id": manifest.content_id,
        "rows": manifest.num_rows,
        "hours": 0.0,
        "dropped": dict(sorted(run.dropped.items())),
        "shards": len(manifest.shards),
        "stages": run.trained,
        "attempts": len(run.trained),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(run.meter.cpu_seconds, 2),
        "peak_memory_bytes": run.meter.peak_memory_bytes,
    }
    gpu_seconds = run.job.num_gpus * run.job.num_workers * seconds
    log_cost(store, run.owner, summary, gpu_seconds=gpu_seconds, worked_s=0.0)
    run.say("SUMMARY " + json.dumps(summary, sort_keys=True))
