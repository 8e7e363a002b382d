"""Jobs that want a GPU, on a cluster whose GPU is only a number: they are placed as in production, and compute on the CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from uniaudio_pipelines.jobs import check_device
from uniaudio_schemas.errors import UsageError

from tests.pipelines.sequences_to_checkpoint.conftest import put_sequences

PROGRAM = """
import json, sys
import ray
from uniaudio_pipelines.running import cluster
from uniaudio_pipelines.sequences_to_checkpoint import training
from uniaudio_pipelines.sequences_to_checkpoint.driver import run_stages
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_schemas.store import Store

class Where:
    def ready(self):
        return ray.get_gpu_ids()

ray.init(address="local", num_cpus=2, num_gpus=int(sys.argv[2]), include_dashboard=False)
job = SequencesToCheckpoint(stages=("text_warmup",), num_steps=3, num_gpus=1.0)
print(json.dumps({"workers": cluster.num_workers(job.resources(), at_most=8)}))
workers = cluster.RayWorkers(Where, job.resources())
worker, gpus = workers.start()
print(json.dumps({"gpus": [int(i) for i in workers.result(gpus)]}))
workers.end(worker)
print(json.dumps({"rows": run_stages(Store(sys.argv[1]), job, owner="test").num_rows}))
"""


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_workers_are_placed_on_the_gpu_they_declare(tmp_path: Path) -> None:
    put_sequences(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), "1"], capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(('{"work', '{"gpus', '{"rows'))]
    assert said == [{"workers": 1}, {"gpus": [0]}, {"rows": 1}]


@pytest.mark.parametrize(("device", "num_gpus"), [("tpu", 0.0), ("cuda", 0.0), ("cpu", -1.0)])
def test_a_gpu_is_used_only_where_it_is_reserved(device: str, num_gpus: float) -> None:
    with pytest.raises(UsageError, match="must be"):
        check_device(device, num_gpus)
