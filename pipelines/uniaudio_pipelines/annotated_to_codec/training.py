"""What each Ray Train worker runs: the phases of codec training, reporting a checkpoint as each phase says.

Writes   <store>/train/<plan id>/final/{config.json, codec.safetensors, result.json}, whole or not at all, by rank 0
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uniaudio_schemas.store import Store

from uniaudio_pipelines.metering import usage

RESULT_FILE = "result.json"


def train_worker(config: dict[str, Any]) -> None:
    """Train, resuming from Ray Train's last checkpoint where there is one."""
    import ray.train

    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.config import CodecConfig
    from uniaudio.codec.training import train_codec
    from uniaudio.stages.codec_phase import CodecPhase
    from uniaudio_pipelines.annotated_to_codec.clips import training_clips

    store = Store(config["store"])
    limits = {"max_clip_s": config["max_clip_s"]}
    plan_id = config["annotated_plan_id"]
    train = training_clips(store, plan_id, splits=("train",), max_s=config["max_train_s"], **limits)
    held_out = training_clips(store, plan_id, splits=("val", "test"), max_s=config["max_held_out_s"], **limits)
    codec = ReasoningCodec.create(CodecConfig.preset(config["size"]), seed=config["seed"]).to(config["device"])
    phases = [CodecPhase(**{**phase, "trains": tuple(phase["trains"]), "betas": tuple(phase["betas"])}) for phase in config["phases"]]
    last = ray.train.get_checkpoint()
    rank = ray.train.get_context().get_world_rank()
    reporter = _reporter(rank, sum(phase.num_steps for phase in phases), [phase.num_steps for phase in phases])
    if last is None:
        metrics = train_codec(codec, phases, train, held_out, on_checkpoint=reporter)
    else:
        with last.as_directory() as folder:
            metrics = train_codec(codec, phases, train, held_out, resume_from=Path(folder), on_checkpoint=reporter)
    if rank == 0:
        _write_final(Path(config["final"]), codec, config["size"], metrics, sum(phase.num_steps for phase in phases))


def _reporter(rank: int, total: int, phase_steps: list[int]) -> Callable[[Any, Callable[[Path], None]], None]:
    import ray.train
    from ray.train import Checkpoint

    def report(state: Any, save: Callable[[Path], None]) -> None:
        step = sum(phase_steps[: state.phase_index]) + state.step
        losses = {metric.name: round(metric.value, 4) for metric in state.metrics[-3:]}
        checkpoint = None
        if rank == 0:
            sys.stdout.write(f"annotated_to_codec {step}/{total} steps, {losses}\n")
            sys.stdout.write("PROGRESS " + json.dumps({"done": step, "total": total, "unit": "steps"}) + "\n")
            sys.stdout.flush()
            folder = Path(tempfile.mkdtemp()) / "checkpoint"
            save(folder)
            checkpoint = Checkpoint.from_directory(str(folder))
        ray.train.report({"step": step}, checkpoint=checkpoint)
        if checkpoint is not None:
            shutil.rmtree(folder.parent, ignore_errors=True)

    return report


def _write_final(final: Path, codec: Any, size: str, metrics: list[Any], num_steps: int) -> None:
    from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP, SAMPLE_RATE

    codec = codec.cpu()
    config = codec.config
    row = {
        "codec_id": codec.fingerprint,
        "size": size,
        "sample_rate": SAMPLE_RATE,
        "reasoning_hop_samples": REASONING_HOP,
        "reconstruction_hop_samples": RECONSTRUCTION_HOP,
        "reasoning_codebook_size": config.reasoning_codebook_size,
        "reconstruction_codebook_size": config.reconstruction_codebook_size,
        "num_codebooks": 8,
        "metrics": [asdict(metric) for metric in metrics],
    }
    partial = final.with_name("final.partial")
    shutil.rmtree(partial, ignore_errors=True)
    codec.save(partial)
    row["config"] = (partial / "config.json").read_text(encoding="utf-8")
    result = {"row": row, "num_steps": num_steps, "usage": asdict(usage())}
    (partial / RESULT_FILE).write_text(json.dumps(result, sort_keys=True), encoding="utf-8")
    partial.replace(final)


def read_result(final: Path) -> dict[str, Any]:
    """What `train_worker` left behind, its curve as rows."""
    from uniaudio_schemas.codec import Metric

    result: dict[str, Any] = json.loads((final / RESULT_FILE).read_text(encoding="utf-8"))
    result["row"]["metrics"] = [Metric(**metric) for metric in result["row"]["metrics"]]
    return result
