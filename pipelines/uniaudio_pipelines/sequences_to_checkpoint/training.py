"""One stage under Ray Train: the function each worker runs, and the run around it.

Reads    sequences, the parent's weights
Writes   <store>/train/<plan id>/final/{model.safetensors, result.json}, whole or not at all
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.store import Store

from uniaudio.stages.config import StageConfig
from uniaudio_pipelines.ray_train import fit
from uniaudio_pipelines.run_folder import RESULT_FILE, RunFolder
from uniaudio_pipelines.running import cluster
from uniaudio_pipelines.running.metering import usage
from uniaudio_pipelines.sequences_to_checkpoint.job import DueStage, SequencesToCheckpoint
from uniaudio_pipelines.sequences_to_checkpoint.start import start_of

if TYPE_CHECKING:
    from uniaudio.training.lm.train import StageResult
    from uniaudio_pipelines.sequences_to_checkpoint.start import Start

MAX_FAILURES = 3
"""Times a worker group may die before the run gives up."""
WORKER_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Read when torch is loaded. Threads that spin while they wait made a stage six times slower on cores shared with other
processes; results are the same."""


def train_due_stage(store: Store, job: SequencesToCheckpoint, due: DueStage) -> None:
    """Train until the final folder is there; goes on from the last training checkpoint of an earlier run of the same
    plan."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    run = RunFolder(store, due.plan.plan_id)
    if run.has_final():
        return
    storage_path, filesystem = run.storage()
    num_cpus = min(due.stage.num_threads, cluster.most_cpus(num_workers=job.num_workers))
    resources = {"CPU": float(num_cpus), **({"GPU": job.num_gpus} if job.num_gpus else {})}
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=worker_config(store, job, due),
        # Named, since Ray takes NCCL wherever a GPU is reserved.
        torch_config=TorchConfig(backend="nccl" if job.device == "cuda" else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=job.num_workers, use_gpu=job.num_gpus > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name="run",
            storage_path=storage_path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            worker_runtime_env={"env_vars": WORKER_ENVIRONMENT},  # type: ignore[call-arg]  # Ray Train v2 has it, its stub is v1's
        ),
    )
    result = fit(trainer, str(store.root))
    if not run.has_final():
        raise StoreError(f"{due.stage.name}: Ray Train ended without a final checkpoint ({result.error}).")


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
        "seed": job.seed,
        "device": job.device,
    }


def train_worker(config: dict[str, Any]) -> None:
    """What every worker runs: the stage, reporting each training checkpoint to Ray Train. Rank 0 writes the final
    folder."""
    import ray.train
    from ray.train import Checkpoint as RayCheckpoint

    from uniaudio.training.lm.checkpoint import TrainingState
    from uniaudio.training.lm.metrics import Progress
    from uniaudio.training.lm.train import train_stage

    store, stage = Store(config["store"]), StageConfig.from_dict(config["stage"])
    run, rank = RunFolder(store, config["plan_id"]), ray.train.get_context().get_world_rank()
    start = start_of(store, config, stage)

    def report(folder: Path | None, state: TrainingState) -> None:
        checkpoint = RayCheckpoint.from_directory(str(folder)) if folder is not None else None
        ray.train.report({"step": state.step}, checkpoint=checkpoint)

    def show(progress: Progress) -> None:
        run.write_progress({"line": progress.line(), "step": progress.step, "pid": os.getpid()})

    last = ray.train.get_checkpoint()
    options = {
        "teacher": start.teacher,
        "device": config["device"],
        "on_checkpoint": report,
        "on_progress": show if rank == 0 else None,
    }
    if last is None:
        result = train_stage(start.model, stage, start.data, **options)
    else:
        with last.as_directory() as folder:
            result = train_stage(start.model, stage, start.data, resume_from=Path(folder), **options)
    if rank == 0:
        write_final(run, start, result)


def write_final(run: RunFolder, start: "Start", result: "StageResult") -> None:
    """The trained model and what a checkpoint row says about it."""
    from safetensors.torch import save_file

    from uniaudio.training.lm.checkpoint import MODEL_FILE, model_tensors

    described = {**start.described(), **_result_json(result)}
    with run.new_final() as folder:
        save_file(model_tensors(start.model), folder / MODEL_FILE)
        (folder / RESULT_FILE).write_text(json.dumps(described, sort_keys=True), encoding="utf-8")


def _result_json(result: "StageResult") -> dict[str, Any]:
    return {
        "step": result.state.step,
        "num_skipped": result.state.num_skipped,
        "metrics": result.state.metrics,
        "ledger": {group: dict(entry) for group, entry in result.ledger.items()},
        "num_drawn": result.num_drawn,
        "held_out": {task: asdict(losses) for task, losses in result.held_out.items()},
        "usage": asdict(usage()),
    }
