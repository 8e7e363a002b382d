"""How a training run under Ray Train fails: in one line, whatever ended its workers."""

import errno
import os
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pytest
from uniaudio_pipelines.ray_training import launch
from uniaudio_pipelines.ray_training.launch import _failures, fit
from uniaudio_schemas.errors import DataError, StoreError, TrainingError, UniaudioError, UsageError

pytest.importorskip("ray.train")

PROGRAM = """
import sys
from uniaudio_pipelines.ray_training.keeping import Keeping
from uniaudio_pipelines.ray_training.launch import WorkerGroup, run_training
from uniaudio_pipelines.ray_training.run_folder import RunFolder
from uniaudio_pipelines.running import cluster
from uniaudio_schemas.errors import FingerprintError
from uniaudio_schemas.store import Store

def worker(config):
    import time
    import torch.distributed
    with open(config["tries"], "a") as file:
        file.write(f"tried, jemalloc {'jemalloc' in open('/proc/self/maps').read()}\\n")
    if torch.distributed.get_rank() == 1:
        raise FingerprintError("`vocabulary` must be a, but is b.")
    torch.distributed.barrier()

cluster.connect(num_cpus=2)
try:
    group = WorkerGroup(num_workers=2)
    run_training(RunFolder(Store(sys.argv[1]), "a" * 32), worker, {"tries": sys.argv[2]}, group, Keeping())
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


@pytest.mark.parametrize("error", [UsageError("`x` must be a."), DataError("x: broken."), TrainingError("it stops")])
def test_what_the_next_workers_would_meet_again_ends_the_run(error: UniaudioError) -> None:
    with pytest.raises(type(error), match=str(error)):
        _failures(3).after_exception(None, {0: RuntimeError("connection closed"), 1: error})  # type: ignore[arg-type]


@pytest.mark.parametrize(("max_failures", "most"), [(2, "`max_failures` 2"), (-1, "no limit")])
def test_what_may_be_over_by_then_is_tried_again_and_counted_in_the_log(
    max_failures: int, most: str, caplog: pytest.LogCaptureFixture
) -> None:
    errors = {1: StoreError("no space left"), 0: RuntimeError("connection closed\nby peer")}
    failures = _failures(max_failures)
    for _ in range(2):
        failures.after_exception(None, errors)  # type: ignore[arg-type]
    causes = "rank 0: RuntimeError: connection closed; rank 1: StoreError: no space left"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"failure {number} of the workers ({most}): {causes}" for number in (1, 2)
    ]


@pytest.mark.parametrize(
    ("installed", "device", "taken"),
    [("libjemalloc.so.2", "cpu", "libjemalloc.so.2"), (None, "cpu", None), ("libjemalloc.so.2", "cuda", None)],
)
def test_workers_on_a_cpu_take_jemalloc_where_it_is_installed(
    installed: str | None, device: str, taken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "find_library", lambda name: installed)
    environment = launch.worker_environment(device)
    assert environment.get("LD_PRELOAD") == taken and environment["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(200)
def test_an_error_of_ours_in_a_worker_ends_the_run_at_once_and_arrives_as_itself(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "store"), str(tmp_path / "tries")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "TOLD `vocabulary` must be a, but is b." in done.stdout, done.stdout + done.stderr
    tried = f"tried, jemalloc {find_library('jemalloc') is not None}"
    assert (tmp_path / "tries").read_text().splitlines() == [tried] * 2, "both workers, once"
