"""Checkpoints of a run as Ray Train is told of them, which a thread stands in for: what is written when, kept, gone back to."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from uniaudio_pipelines.ray_training.curves import Curves
from uniaudio_pipelines.ray_training.keeping import Keeping
from uniaudio_pipelines.ray_training.reporting import Reporter
from uniaudio_pipelines.ray_training.run_folder import RUN, RunFolder
from uniaudio_pipelines.running.gauges import Gauges
from uniaudio_schemas.store import Store

from tests.uniaudio.training.test_run import NAN, Number
from uniaudio.stages.schedule import Schedule
from uniaudio.training.checkpoint import TrainingState
from uniaudio.training.run import HELD_OUT_LOSS, train

pytest.importorskip("ray.train")
PLAN_ID = "a" * 32


class Reports:
    """Ray Train's side: uploads one after the other, in its thread, once `gate` lets it."""

    def __init__(self, experiment: Path) -> None:
        from pyarrow.fs import LocalFileSystem

        self.storage = SimpleNamespace(experiment_fs_path=str(experiment), storage_filesystem=LocalFileSystem())
        self.thread, self.done, self.gate = ThreadPoolExecutor(1), list[Future[Any]](), lambda: None
        self.metrics: list[dict[str, Any]] = []

    def report(
        self, metrics: dict[str, Any], *, checkpoint: Any, checkpoint_upload_fn: Callable[..., Any], **_: Any
    ) -> None:
        name = f"checkpoint_{len(self.done):06d}"
        self.metrics.append(metrics)

        def upload() -> Any:
            self.gate()
            return checkpoint_upload_fn(checkpoint, name)

        self.done.append(self.thread.submit(upload))


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reports]:
    import ray.train

    made = Reports(tmp_path / "train" / PLAN_ID / RUN)
    monkeypatch.setattr(ray.train, "report", made.report)
    monkeypatch.setattr(ray.train, "get_context", lambda: SimpleNamespace(get_storage=lambda: made.storage))
    yield made
    made.thread.shutdown()


def run(root: Path, number: Number, keeping: Keeping, **fields: Any) -> TrainingState:
    schedule = Schedule(name="part", learning_rate=0.1, **fields)
    store = Store(root)
    with Curves(store, PLAN_ID) as curves:
        reporter = Reporter(RunFolder(store, PLAN_ID), [schedule], curves, keeping, Gauges("edge", PLAN_ID))
        state = TrainingState(identity="run", part="part")
        return train(number, schedule, state, reporter.listeners(), hold_out_every=1000)


def weight_of(folder: Path) -> float:
    (file,) = folder.glob("shard-*.safetensors")
    return float(load_file(file)["modules.number.weight"])


def step_of(folder: Path) -> int:
    found: int = json.loads((folder / "state.json").read_text())["state"]["step"]
    return found


def test_a_checkpoint_holds_what_was_there_however_late_it_is_written(reports: Reports, tmp_path: Path) -> None:
    torch.manual_seed(0)
    seen: list[float] = []

    class Slow(Number):
        def finish_step(self) -> None:
            seen.append(float(next(self.modules.parameters()).detach()))

    number = Slow([1.0] * 6)
    reports.gate = lambda: _wait_for(lambda: len(seen) >= 4 or len(reports.done) > 1)
    run(tmp_path, number, Keeping(), num_steps=6, checkpoint_every=2)
    folders = sorted((tmp_path / "train" / PLAN_ID / RUN).iterdir())
    assert [step_of(folder) for folder in folders] == [2, 4, 6]
    assert [weight_of(folder) for folder in folders] == [seen[1], seen[3], seen[5]]
    assert [Path(one.result().path) for one in reports.done] == folders


def test_ray_is_told_the_values_of_a_step_with_its_checkpoint_and_as_metrics_where_it_is_logged(
    reports: Reports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, list[float]] = {}

    class Gauge:
        def __init__(self, name: str, help_: str, tags: tuple[str, ...]) -> None:
            assert name == "uniaudio_training" and set(tags) == {"edge", "plan", "part", "name"}

        def set(self, value: float, tags: dict[str, str]) -> None:
            assert (tags["edge"], tags["plan"], tags["part"]) == ("edge", PLAN_ID[:8], "part")
            told.setdefault(tags["name"], []).append(value)

    class Rated(Number):
        def held_out(self, step: int) -> dict[str, float]:
            return {HELD_OUT_LOSS: float(step)}

    monkeypatch.setattr("uniaudio_pipelines.running.gauges._has_ray", lambda: True)
    monkeypatch.setattr("ray.util.metrics.Gauge", Gauge)
    run(tmp_path, Rated([1.0, 2.0, 3.0, 4.0]), Keeping(), num_steps=4, checkpoint_every=3, log_every=2)
    assert told["loss"] == [1.0, 2.0, 4.0], "of steps 1, 2 and 4"
    assert len(told["steps_per_second"]) == 3
    assert told[HELD_OUT_LOSS] == [0.0, 4.0]
    names = ("part", "step", "loss", HELD_OUT_LOSS)
    assert [[metrics.get(name) for name in names] for metrics in reports.metrics] == [
        ["part", 3, 3.0, None],
        ["part", 4, 4.0, 4.0],
    ]
    assert all(metrics["steps_per_second"] > 0 for metrics in reports.metrics)


def test_every_so_many_have_a_copy(reports: Reports, tmp_path: Path) -> None:
    run(tmp_path, Number([1.0] * 6), Keeping(every=2), num_steps=6, checkpoint_every=1)
    kept = sorted((tmp_path / "train" / PLAN_ID / "kept").iterdir())
    assert [(folder.name, step_of(folder)) for folder in kept] == [
        ("part-00000002", 2),
        ("part-00000004", 4),
        ("part-00000006", 6),
    ]


def test_a_run_goes_back_to_a_checkpoint_that_is_still_being_written(reports: Reports, tmp_path: Path) -> None:
    number = Number([1.0, 1.0, NAN, 2.0, 3.0])
    reports.gate = lambda: _wait_for(lambda: number.taken >= 3)
    state = run(tmp_path, number, Keeping(), num_steps=4, checkpoint_every=2, max_skipped=0, max_rollbacks=1)
    assert (state.step, state.num_rollbacks, state.position) == (4, 1, {"taken": 5})


def test_nothing_is_written_any_more_when_a_part_has_ended(reports: Reports, tmp_path: Path) -> None:
    reports.gate = lambda: time.sleep(0.2)
    run(tmp_path, Number([1.0] * 3), Keeping(), num_steps=3, checkpoint_every=3)
    (folder,) = (tmp_path / "train" / PLAN_ID / RUN).iterdir()
    assert step_of(folder) == 3
    told = json.loads((tmp_path / "train" / PLAN_ID / "progress.json").read_text())
    assert (told["step"], told["num_steps"]) == (3, 3)


def _wait_for(is_so: Callable[[], bool]) -> None:
    for _ in range(2000):
        if is_so():
            return
        time.sleep(0.001)
