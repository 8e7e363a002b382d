"""The edge's one unit: run the training, then make the row. Lives in the driver; the work is in Ray Train's workers.

Printed while it trains:
    annotated_to_codec reasoning 120/240 steps, held-out loss 2.114
    PROGRESS {"done": 280, "total": 640, "unit": "steps"}
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

from uniaudio_schemas.codec import CodecRow, Metric
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Dropped, Store

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.codec.config import NUM_CODEBOOKS, CodecConfig
from uniaudio_pipelines import cluster
from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec
from uniaudio_pipelines.annotated_to_codec.training import (
    PROGRESS_FILE,
    RESULT_FILE,
    final_folder,
    run_folder,
    train_with_ray,
)
from uniaudio_pipelines.edge import ShardResult
from uniaudio_pipelines.metering import Usage

CONFIG_FILE, WEIGHTS_FILE = "config.json", "codec.safetensors"
_POLL_S = 1.0


class CodecWorker:
    def __init__(self, store_root: str, job: AnnotatedToCodec, plan: Plan) -> None:
        self._store, self._job, self._plan = Store(store_root), job, plan

    def process(self, unit: str) -> ShardResult:
        cluster.connect()
        folder = run_folder(self._store, self._plan.plan_id)
        folder.mkdir(parents=True, exist_ok=True)
        with _ProgressLines(folder / PROGRESS_FILE, self._job.EDGE):
            train_with_ray(self._store, self._job, self._plan)
        final = final_folder(self._store, self._plan.plan_id)
        result = json.loads((final / RESULT_FILE).read_text(encoding="utf-8"))
        row = _row(self._store, final, result)
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
            },
            blobs=(final / WEIGHTS_FILE,),
            usage=(Usage(**result["usage"]),),
        )


def _row(store: Store, final: Path, result: dict[str, Any]) -> CodecRow:
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


class _ProgressLines:
    """While the codec trains, prints each new state of the worker's progress file."""

    def __init__(self, path: Path, edge: str) -> None:
        self._path, self._edge = path, edge
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._last = ""

    def __enter__(self) -> None:
        self._path.unlink(missing_ok=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._print_new()

    def _follow(self) -> None:
        while not self._stopped.wait(_POLL_S):
            self._print_new()

    def _print_new(self) -> None:
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        if text and text != self._last:
            self._last = text
            state = json.loads(text)
            progress = {"done": state["done"], "total": state["total"], "unit": "steps"}
            sys.stdout.write(f"{self._edge} {state['line']}\nPROGRESS {json.dumps(progress)}\n")
            sys.stdout.flush()
