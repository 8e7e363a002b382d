"""One stage under Ray Train: the function each worker runs, and the run around it.

Reads    sequences, the parent's weights
Writes   <store>/train/<plan id>/final/{model.safetensors, result.json}, whole or not at all
"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.store import Store

from uniaudio.stages.config import StageConfig
from uniaudio_pipelines.ray_training.launch import WorkerGroup, last_checkpoint, run_training
from uniaudio_pipelines.ray_training.run_folder import RESULT_FILE, RunFolder
from uniaudio_pipelines.running import cluster
from uniaudio_pipelines.running.gauges import Gauges
from uniaudio_pipelines.running.metering import usage
from uniaudio_pipelines.sequences_to_checkpoint.job import DueStage, SequencesToCheckpoint
from uniaudio_pipelines.sequences_to_checkpoint.start import start_of

if TYPE_CHECKING:
    from uniaudio.training.lm.train import StageResult
    from uniaudio_pipelines.sequences_to_checkpoint.start import Start


def train_due_stage(store: Store, job: SequencesToCheckpoint, due: DueStage) -> None:
    """Train until the final folder is there; goes on from the last training checkpoint of an earlier run of the same
    plan."""
    num_cpus = min(due.stage.num_threads, cluster.most_cpus(num_workers=job.num_workers))
    group = WorkerGroup(
        num_workers=job.num_workers,
        min_workers=job.min_workers,
        num_cpus=float(num_cpus),
        num_gpus=job.num_gpus,
        device=job.device,
        max_failures=job.max_failures,
    )
    run_training(RunFolder(store, due.plan.plan_id), train_worker, worker_config(store, job, due), group, job.keeping())


def worker_config(store: Store, job: SequencesToCheckpoint, due: DueStage) -> dict[str, Any]:
    """Plain values: what a worker on another machine needs."""
    return {
        "store": str(store.root),
        "plan_id": due.plan.plan_id,
        "sequences_plan_id": due.sequences.plan_id,
        "parent_plan_id": due.parent.plan_id if due.parent else "",
        "backbone": due.backbone,
        "model": due.model,
        "stage": asdict(due.stage),
        "size": job.size,
        "experts": job.experts,
        "code_vectors": job.code_vectors,
        "seed": job.seed,
        "device": job.device,
        "shard_over": job.shard_over,
        "keeping": asdict(job.keeping()),
        "hold_out_every": job.held_out_steps(due.stage),
        "wandb_project": job.wandb_project,
    }


def train_worker(config: dict[str, Any]) -> None:
    """What every worker runs: the stage, reporting each training checkpoint to Ray Train. Rank 0 writes the final
    folder."""
    from uniaudio.training.lm.train import train_stage
    from uniaudio_pipelines.ray_training.curves import Curves
    from uniaudio_pipelines.ray_training.keeping import Keeping
    from uniaudio_pipelines.ray_training.reporting import Reporter

    store, stage = Store(config["store"]), StageConfig.from_dict(config["stage"])
    run = RunFolder(store, config["plan_id"])
    start = start_of(store, config, stage)
    curves = Curves(store, config["plan_id"], wandb_project=config["wandb_project"])
    gauges = Gauges(SequencesToCheckpoint.EDGE, config["plan_id"])
    reporter = Reporter(run, [stage], curves, Keeping(**config["keeping"]), gauges)
    with last_checkpoint() as folder, curves:
        result = train_stage(
            start.model,
            stage,
            start.data,
            teacher=start.teacher,
            device=config["device"],
            shard_over=config["shard_over"],
            resume_from=folder,
            listeners=reporter.listeners(hold_out_every=config["hold_out_every"]),
        )
    write_final(run, start, result)


def write_final(run: RunFolder, start: "Start", result: "StageResult") -> None:
    """The trained model and what a checkpoint row says about it. All ranks must call it: each has a part of the weights."""
    from safetensors.torch import save_file

    from uniaudio.training.lm.weights import MODEL_FILE
    from uniaudio.training.processes import Processes
    from uniaudio.training.sharding import full_tensors

    is_first = Processes.current().rank == 0
    tensors = full_tensors(start.model, keep=is_first)
    if not is_first:
        return
    described = {**start.described(), **_result_json(result)}
    with run.new_final() as folder:
        save_file(tensors, folder / MODEL_FILE)
        (folder / RESULT_FILE).write_text(json.dumps(described, sort_keys=True), encoding="utf-8")


def _result_json(result: "StageResult") -> dict[str, Any]:
    from uniaudio.training.lm.objective import HELD_OUT

    points = [point for point in result.state.points if not point.name.startswith(HELD_OUT)]
    return {
        "step": result.state.step,
        "num_skipped": result.state.num_skipped,
        "steps_by_world_size": result.state.steps_by_world_size,
        "metrics": [{"step": point.step, "name": point.name, "value": point.value} for point in points],
        "ledger": {group: dict(entry) for group, entry in result.ledger.items()},
        "tasks": result.tasks,
        "num_drawn": result.num_drawn,
        "held_out": {task: asdict(losses) for task, losses in result.held_out.items()},
        "usage": asdict(usage()),
    }
