"""The edge's one unit: run the training, then make the row. Lives in the driver; the work is in Ray Train's workers.

Printed while it trains:
    annotated_to_codec reasoning 120/240 steps, loss 2.114, text 1.702, commitment 0.412, …, steps_per_second 3.1
    PROGRESS {"done": 280, "total": 640, "unit": "steps"}
"""

import json
import sys
from pathlib import Path
from typing import Any

from uniaudio_schemas.kinds.codec import CodecRow, Metric
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.codec.config.presets import NUM_CODEBOOKS, CodecConfig
from uniaudio_pipelines.annotated_to_codec.job import CONFIG_FILE, WEIGHTS_FILE, AnnotatedToCodec
from uniaudio_pipelines.annotated_to_codec.training import take_start, train_with_ray
from uniaudio_pipelines.ray_training.run_folder import RESULT_FILE, RunFolder, steps_on_ranks
from uniaudio_pipelines.running import cluster
from uniaudio_pipelines.running.edge import ShardResult
from uniaudio_pipelines.running.metering import Usage


class CodecWorker:
    def __init__(self, store_root: str, job: AnnotatedToCodec, plan: Plan) -> None:
        self._store, self._job, self._plan = Store(store_root), job, plan

    def process(self, unit: str) -> ShardResult:
        run = RunFolder(self._store, self._plan.plan_id)
        if self._job.training_phases():
            cluster.connect()
            with run.followed(self._show):
                train_with_ray(self._store, self._job, self._plan)
        else:
            take_start(self._store, self._job, self._plan)
        final, scratch = run.final()
        result = json.loads((final / RESULT_FILE).read_text(encoding="utf-8"))
        row = _row(final, result)
        dropped = [
            Dropped(row_id=clip, reason=reason, detail=detail, unit=unit) for clip, reason, detail in result["dropped"]
        ]
        return ShardResult(
            rows=[row],
            dropped=dropped,
            metadata={"codec_fingerprint": row.codec_id, "numerics": self._plan.numerics},
            statistics={
                "audio_s": result["audio_s"],
                "num_train_clips": float(result["num_train"]),
                "num_held_out_clips": float(result["num_held_out"]),
                **steps_on_ranks(result),
            },
            blobs=(final / WEIGHTS_FILE,),
            usage=(Usage(**result["usage"]),),
            scratch=scratch,
        )

    def _show(self, state: dict[str, Any]) -> None:
        progress = {"done": state["step"], "total": state["num_steps"], "unit": "steps"}
        sys.stdout.write(f"{self._job.EDGE} {state['line']}\nPROGRESS {json.dumps(progress)}\n")
        sys.stdout.flush()


def _row(final: Path, result: dict[str, Any]) -> CodecRow:
    from uniaudio_schemas.fingerprint import hash_file

    config_json = (final / CONFIG_FILE).read_text(encoding="utf-8")
    config = CodecConfig.from_json(config_json)
    return CodecRow(
        codec_id=result["fingerprint"],
        size=config.size,
        weights=hash_file(final / WEIGHTS_FILE),
        config=config_json,
        sample_rate=SAMPLE_RATE,
        reasoning_hop_samples=REASONING_HOP,
        reconstruction_hop_samples=RECONSTRUCTION_HOP,
        reasoning_codebook_size=config.reasoning_codebook_size,
        reconstruction_codebook_size=config.reconstruction_codebook_size,
        num_codebooks=NUM_CODEBOOKS,
        metrics=[Metric(**metric) for metric in result["metrics"]],
    )
