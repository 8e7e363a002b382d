"""The one unit of the edge: a Ray Train run over the phases, then the row that describes the codec."""

import shutil
from pathlib import Path
from typing import Any

from uniaudio_schemas.codec import CodecRow
from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.fingerprint import hash_file
from uniaudio_schemas.manifest import Plan
from uniaudio_schemas.store import Store

from uniaudio_pipelines import cluster
from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec
from uniaudio_pipelines.annotated_to_codec.training import read_result, train_worker
from uniaudio_pipelines.edge import ShardResult
from uniaudio_pipelines.jobs import parent
from uniaudio_pipelines.metering import Usage

MAX_FAILURES = 3
"""Times a worker group may die before the run gives up."""


class CodecWorker:
    def __init__(self, store_root: str, job: AnnotatedToCodec, plan: Plan) -> None:
        self._store, self._job = Store(store_root), job
        self._annotated = parent(self._store, "annotated", "annotate-corpus", job.annotated_ref)
        self._folder = Path(str(self._store.root)) / "train" / plan.plan_id

    def process(self, unit: str) -> ShardResult:
        final = self._folder / "final"
        if not final.is_dir():
            self._train(final)
        result = read_result(final)
        weights = final / "codec.safetensors"
        row = CodecRow(weights=hash_file(weights), **result["row"])
        return ShardResult(
            rows=[row],
            metadata={"codec_fingerprint": row.codec_id},
            statistics={"num_steps": float(result["num_steps"])},
            blobs=(weights,),
            usage=(Usage(**result["usage"]),),
        )

    def _train(self, final: Path) -> None:
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        cluster.connect()
        job = self._job
        resources = {"CPU": 1.0, **({"GPU": job.gpus_per_worker} if job.gpus_per_worker else {})}
        trainer = TorchTrainer(
            train_worker,
            train_loop_config=self._worker_config(final),
            scaling_config=ScalingConfig(
                num_workers=job.num_workers, use_gpu=job.gpus_per_worker > 0, resources_per_worker=resources
            ),
            run_config=RunConfig(
                name="run",
                storage_path=str(self._folder),
                failure_config=FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=CheckpointConfig(num_to_keep=2),
            ),
        )
        result = trainer.fit()
        shutil.rmtree(self._folder / "run", ignore_errors=True)
        if not final.is_dir():
            raise StoreError(f"annotated_to_codec: Ray Train ended without a codec ({result.error}).")

    def _worker_config(self, final: Path) -> dict[str, Any]:
        """Plain values: what a worker on another machine needs."""
        job = self._job
        return {
            "store": str(self._store.root),
            "annotated_plan_id": self._annotated.plan_id,
            "final": str(final),
            "size": job.size,
            "seed": job.seed,
            "device": job.device,
            "phases": [phase.to_dict() for phase in job.codec_phases()],
            "max_train_s": job.max_train_s,
            "max_held_out_s": job.max_held_out_s,
            "max_clip_s": job.max_clip_s,
        }
