"""The training run under Ray Train: the function each worker runs, and the run around it.

Reads    annotated and raw
Writes   <store>/train/<plan id>/final/{config.json, codec.safetensors, result.json}, whole or not at all
"""

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.kinds.codec import Metric
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.stages.codec_phase import CodecPhase
from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec, encoder_folders
from uniaudio_pipelines.ray_training.launch import WorkerGroup, last_checkpoint, run_training
from uniaudio_pipelines.ray_training.run_folder import RESULT_FILE, RunFolder
from uniaudio_pipelines.running.gauges import Gauges
from uniaudio_pipelines.running.metering import usage

if TYPE_CHECKING:
    from uniaudio_pipelines.annotated_to_codec.clips import TrainingAudio


def train_with_ray(store: Store, job: AnnotatedToCodec, plan: Plan) -> None:
    """Train until the final folder is there; goes on from the last checkpoint of an earlier run of the same plan."""
    group = WorkerGroup(
        num_workers=job.num_workers,
        min_workers=job.min_workers,
        num_gpus=job.num_gpus,
        device=job.device,
        max_failures=job.max_failures,
    )
    run_training(RunFolder(store, plan.plan_id), train_worker, _worker_config(store, job, plan), group, job.keeping())


def take_start(store: Store, job: AnnotatedToCodec, plan: Plan) -> None:
    """The final folder of a run without phases: the codec `job.start`, read whole and written as ours."""
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio_pipelines.annotated_to_codec.clips import TrainingAudio

    run = RunFolder(store, plan.plan_id)
    if not run.has_final():
        codec = ReasoningCodec.load(job.start)
        _write_final(run, codec, _result(codec, [], TrainingAudio()))


def train_worker(config: dict[str, Any]) -> None:
    """What every worker runs: all phases, reporting checkpoints to Ray Train. Rank 0 writes the final folder."""
    from uniaudio.training.codec.audio import AudioCache
    from uniaudio.training.codec.train import train_codec
    from uniaudio.training.processes import Processes
    from uniaudio_pipelines.annotated_to_codec.clips import load_training_audio
    from uniaudio_pipelines.ray_training.curves import Curves
    from uniaudio_pipelines.ray_training.keeping import Keeping
    from uniaudio_pipelines.ray_training.reporting import Reporter

    store = Store(config["store"])
    audio = load_training_audio(
        store,
        store.version_with("annotated", config["annotated"]),
        store.version_with("raw", config["raw"]),
        max_clip_s=config["max_clip_s"],
        max_hours=config["max_hours"],
        cache=AudioCache(int(config["audio_cache_gb"] * 2**30)),
    )
    phases = [CodecPhase.from_dict(phase) for phase in config["phases"]]
    codec, run = _new_codec(config), RunFolder(store, config["plan_id"])
    curves = Curves(store, config["plan_id"], wandb_project=config["wandb_project"])
    gauges = Gauges(AnnotatedToCodec.EDGE, config["plan_id"])
    with last_checkpoint() as folder, curves:
        parts = [
            replace(phase, checkpoint_every=config["checkpoint_every"] or phase.checkpoint_every) for phase in phases
        ]
        reporter = Reporter(run, parts, curves, Keeping(**config["keeping"]), gauges)
        listeners = reporter.listeners(
            hold_out_every=config["hold_out_every"], checkpoint_every=config["checkpoint_every"]
        )
        metrics = train_codec(codec, phases, audio.train, audio.held_out, resume_from=folder, listeners=listeners)
    if Processes.current().rank == 0:
        result = {**_result(codec, metrics, audio), "steps_by_world_size": reporter.steps_by_world_size}
        _write_final(run, codec, result)


def _new_codec(config: dict[str, Any]) -> Any:
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.config.presets import CodecConfig
    from uniaudio.codec.encoders.frozen import EncoderFolders

    if config["start"]:
        return ReasoningCodec.load(config["start"]).to(config["device"])
    # Phase `encoders` trains what is not there.
    folders = EncoderFolders(**encoder_folders(config["encoders"])) if config["encoders"] else None
    codec = ReasoningCodec.create(CodecConfig.preset(config["size"]), seed=config["seed"], encoder_folders=folders)
    return codec.to(config["device"])


def _worker_config(store: Store, job: AnnotatedToCodec, plan: Plan) -> dict[str, Any]:
    """Plain values: what a worker on another machine needs."""
    return {
        "store": str(store.root),
        "plan_id": plan.plan_id,
        "annotated": plan.parents["annotated"],
        "raw": plan.parents["raw"],
        "phases": [phase.to_dict() for phase in job.training_phases()],
        "size": job.size,
        "start": job.start,
        "seed": job.seed,
        "device": job.device,
        "encoders": job.encoders,
        "max_clip_s": job.longest_clip_s(),
        "max_hours": job.max_hours,
        "audio_cache_gb": job.audio_cache_gb,
        "checkpoint_every": job.checkpoint_every,
        "hold_out_every": job.hold_out_every,
        "keeping": asdict(job.keeping()),
        "wandb_project": job.wandb_project,
    }


def _result(codec: Any, metrics: list[Metric], audio: "TrainingAudio") -> dict[str, Any]:
    return {
        "fingerprint": codec.fingerprint,
        "metrics": [asdict(metric) for metric in metrics],
        "dropped": audio.dropped,
        "audio_s": sum(len(clip.samples) for clip in audio.train) / 24_000,
        "num_train": len(audio.train),
        "num_held_out": len(audio.held_out),
        "usage": asdict(usage()),
    }


def _write_final(run: RunFolder, codec: Any, result: dict[str, Any]) -> None:
    with run.new_final() as folder:
        codec.save(folder)
        (folder / RESULT_FILE).write_text(json.dumps(result, sort_keys=True), encoding="utf-8")
