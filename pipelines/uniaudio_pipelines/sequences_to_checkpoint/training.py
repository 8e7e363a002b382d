"""One stage under Ray Train: the function each worker runs, and the run around it.

Reads    sequences, the parent's weights
Writes   <store>/train/<plan id>/final/{model.safetensors, result.json}, whole or not at all
"""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uniaudio_schemas.checkpoint import Checkpoint
from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.manifest import Manifest
from uniaudio_schemas.store import Store

from uniaudio.stages.config import StageConfig
from uniaudio_pipelines.metering import usage
from uniaudio_pipelines.sequences_to_checkpoint.job import DueStage, SequencesToCheckpoint

RESULT_FILE = "result.json"
PROGRESS_FILE = "progress.json"
MAX_FAILURES = 3
"""Times a worker group may die before the run gives up."""
WORKER_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Read when torch is loaded. Threads that spin while they wait made a stage six times slower on cores shared with other
processes; results are the same."""


def run_folder(store: Store, plan_id: str) -> Path:
    return Path(str(store.root)) / "train" / plan_id


def final_folder(store: Store, plan_id: str) -> Path:
    return run_folder(store, plan_id) / "final"


def only_row(store: Store, manifest: Manifest) -> Checkpoint:
    return next(iter(store.rows(manifest, Checkpoint)))


def train_due_stage(store: Store, job: SequencesToCheckpoint, due: DueStage) -> None:
    """Train until the final folder is there; goes on from the last training checkpoint of an earlier run of the same
    plan."""
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    if final_folder(store, due.plan.plan_id).is_dir():
        return
    num_cpus = max(1, min(due.stage.num_threads, int(ray.cluster_resources().get("CPU", 1)) // job.num_workers))
    resources = {"CPU": float(num_cpus), **({"GPU": job.num_gpus} if job.num_gpus else {})}
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=_worker_config(store, job, due),
        # Named, since Ray takes NCCL wherever a GPU is reserved.
        torch_config=TorchConfig(backend="nccl" if job.device == "cuda" else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=job.num_workers, use_gpu=job.num_gpus > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name="run",
            storage_path=str(run_folder(store, due.plan.plan_id)),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            worker_runtime_env={"env_vars": WORKER_ENVIRONMENT},  # type: ignore[call-arg]  # Ray Train v2 has it, its stub is v1's
        ),
    )
    result = trainer.fit()
    if not final_folder(store, due.plan.plan_id).is_dir():
        raise StoreError(f"{due.stage.name}: Ray Train ended without a final checkpoint ({result.error}).")


def _worker_config(store: Store, job: SequencesToCheckpoint, due: DueStage) -> dict[str, Any]:
    """Plain values: what a worker on another machine needs."""
    return {
        "store": str(store.root),
        "plan_id": due.plan.plan_id,
        "sequences_plan_id": due.sequences.plan_id,
        "parent_plan_id": due.parent.plan_id if due.parent else "",
        "stage": asdict(due.stage),
        "size": job.size,
        "seed": job.seed,
        "device": job.device,
    }


def train_worker(config: dict[str, Any]) -> None:
    """What every worker runs: the stage, reporting each training checkpoint to Ray Train. Rank 0 writes the final
    folder."""
    import ray.train
    from ray.train import Checkpoint as RayCheckpoint

    from uniaudio.training.checkpoint import TrainingState
    from uniaudio.training.loop import train_stage

    store, stage = Store(config["store"]), StageConfig.from_dict(config["stage"])
    rank = ray.train.get_context().get_world_rank()
    model, data, described = _model_and_data(store, config, stage)

    def report(folder: Path | None, state: TrainingState) -> None:
        checkpoint = RayCheckpoint.from_directory(str(folder)) if folder is not None else None
        ray.train.report({"step": state.step}, checkpoint=checkpoint)

    progress = _ProgressFile(run_folder(store, config["plan_id"]) / PROGRESS_FILE) if rank == 0 else None
    last = ray.train.get_checkpoint()
    options = {"device": config["device"], "on_checkpoint": report, "on_progress": progress}
    if last is None:
        result = train_stage(model, stage, data, **options)
    else:
        with last.as_directory() as folder:
            result = train_stage(model, stage, data, resume_from=Path(folder), **options)
    if rank == 0:
        _write_final(final_folder(store, config["plan_id"]), model, {**described, **_result_json(result, data)})


def _model_and_data(store: Store, config: dict[str, Any], stage: StageConfig) -> tuple[Any, Any, dict[str, Any]]:
    """The model at the parent's weights, the stage's data, and what a checkpoint row says about both."""
    from uniaudio.lm.config import LMConfig
    from uniaudio.lm.model import UniAudioLM
    from uniaudio.sequence.vocabulary import Vocabulary
    from uniaudio.training.checkpoint import load_model
    from uniaudio.training.data import MixtureData
    from uniaudio.training.sequence_set import SequenceSet

    manifest = store.version("sequences", config["sequences_plan_id"])
    if manifest is None:
        raise StoreError(f"sequences {config['sequences_plan_id']} are not in the store any more.")
    sequences = SequenceSet.open(store, manifest)
    vocabulary = Vocabulary.from_json(sequences.required_metadata("vocabulary"))
    model_config = LMConfig.preset(config["size"], vocabulary)
    model = UniAudioLM(model_config, seed=config["seed"])
    described: dict[str, Any] = {"parent": None}
    if config["parent_plan_id"]:
        version = store.version("checkpoint", config["parent_plan_id"])
        if version is None:
            raise StoreError(f"checkpoint {config['parent_plan_id']} is not in the store any more.")
        start = only_row(store, version)
        vocabulary.require(start.vocabulary_fingerprint, f"checkpoint {start.checkpoint_id}")
        load_model(store.open_blob(start.weights), model)
        described = {"parent": start.checkpoint_id}
    data = MixtureData(sequences, vocabulary, stage, config["seed"])
    return (
        model,
        data,
        {
            **described,
            "model": json.loads(model_config.to_json()),
            "vocabulary": json.loads(vocabulary.to_json()),
            "vocabulary_fingerprint": vocabulary.fingerprint,
            "codec_fingerprint": sequences.required_metadata("codec_fingerprint"),
            "too_long": data.too_long(),
        },
    )


def _result_json(result: Any, data: Any) -> dict[str, Any]:
    return {
        "step": result.state.step,
        "num_skipped": result.state.num_skipped,
        "metrics": result.state.metrics,
        "ledger": {group: dict(entry) for group, entry in result.ledger.items()},
        "num_drawn": result.num_drawn,
        "held_out": {task: asdict(losses) for task, losses in result.held_out.items()},
        "usage": asdict(usage()),
    }


def _write_final(folder: Path, model: Any, result: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    from uniaudio.training.checkpoint import MODEL_FILE, model_tensors

    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(model_tensors(model), partial / MODEL_FILE)
    (partial / RESULT_FILE).write_text(json.dumps(result, sort_keys=True), encoding="utf-8")
    partial.replace(folder)


class _ProgressFile:
    """Where rank 0 stands, for the driver to read: replaced as a whole, so never half read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, progress: Any) -> None:
        state = {"stage": progress.stage, "step": progress.step, "line": progress.line(), "pid": os.getpid()}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(state), encoding="utf-8")
        partial.replace(self.path)
