"""How a training run under Ray Train fails: in one line, whatever ended its workers."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from uniaudio_pipelines.ray_training.launch import fit
from uniaudio_schemas.errors import DataError, StoreError, UniaudioError

pytest.importorskip("ray.train")

PROGRAM = """
import sys
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from uniaudio_pipelines.running import cluster
from uniaudio_pipelines.ray_training.launch import fit
from uniaudio_schemas.errors import FingerprintError

def worker(config):
    raise FingerprintError("`vocabulary` must be a, but is b.")

cluster.connect(num_cpus=2)
run = RunConfig(name="run", storage_path=sys.argv[1], failure_config=FailureConfig(max_failures=1))
try:
    fit(TorchTrainer(worker, scaling_config=ScalingConfig(num_workers=1), run_config=run), sys.argv[1])
except FingerprintError as error:
    print("TOLD", error)
"""


class Failing:
    """Stands in for a trainer that has run."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def fit(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("failures", "kind", "message"),
    [
        ({1: DataError("x.arrow: is broken."), 0: ValueError("killed with it")}, DataError, "^x.arrow: is broken.$"),
        ({0: OSError(errno.ENOSPC, "full")}, StoreError, "^/store: no space left"),
        ({0: ValueError("first line\nsecond line")}, StoreError, "^/store: training ended by ValueError: first line$"),
    ],
)
def test_what_ended_a_worker_is_told_in_one_line(
    failures: dict[int, Exception], kind: type[UniaudioError], message: str
) -> None:
    from ray.train import WorkerGroupError

    with pytest.raises(kind, match=message):
        fit(Failing(WorkerGroupError("rank 0 failed", failures)), "/store")  # type: ignore[arg-type]


def test_what_ended_the_controller_is_told_in_one_line() -> None:
    from ray.train import ControllerError

    with pytest.raises(StoreError, match=r"^/store: training ended by TimeoutError: no CPU in 60 s$"):
        fit(Failing(ControllerError(TimeoutError("no CPU in 60 s"))), "/store")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(200)
def test_an_error_of_ours_in_a_worker_of_ray_train_arrives_as_itself(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "TOLD `vocabulary` must be a, but is b." in done.stdout, done.stdout + done.stderr
