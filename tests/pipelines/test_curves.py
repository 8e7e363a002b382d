"""Curves of a run that goes on, or back, and of one that Weights & Biases is told of too."""

import json
from pathlib import Path

import pytest
from uniaudio_pipelines.ray_training.curves import Curves
from uniaudio_pipelines.ray_training.keeping import Keeping
from uniaudio_pipelines.ray_training.reporting import Reporter, _held_out_losses
from uniaudio_pipelines.ray_training.run_folder import RunFolder
from uniaudio_pipelines.running.gauges import Gauges
from uniaudio_schemas.store import Store

from uniaudio.stages.schedule import Schedule
from uniaudio.training.checkpoint import TrainingState
from uniaudio.training.run import Progress

PLAN_ID = "a" * 32
PART = Schedule(name="stage1", num_steps=6, learning_rate=1.0, log_every=1)


def points(store: Store, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(Path(store.root) / "curves" / f"stage1-{PLAN_ID[:8]}"))
    found.Reload()
    return [(one.step, one.value) for one in found.Scalars(name)]


def tell(curves: Curves, store: Store, steps: dict[int, float], held_out: tuple[int, ...] = ()) -> None:
    reporter = Reporter(RunFolder(store, PLAN_ID), [PART], curves, Keeping(), Gauges("edge", PLAN_ID))
    show_all(reporter, steps, held_out)


def show_all(reporter: Reporter, steps: dict[int, float], held_out: tuple[int, ...] = ()) -> None:
    for step, loss in steps.items():
        values = {"loss": loss}
        if step:
            reporter.show(Progress(part="stage1", step=step, num_steps=6, values=values, gauges={"loss/asr": loss}))
        if step in held_out:
            reporter.show_held_out("stage1", step, {"held_out_loss/asr": loss, "held_out_loss/tts": loss + 1})


def test_a_run_that_goes_back_leaves_no_zigzag(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with Curves(store, PLAN_ID) as curves:
        reporter = Reporter(RunFolder(store, PLAN_ID), [PART], curves, Keeping(), Gauges("edge", PLAN_ID))
        show_all(reporter, {0: 9.0, 1: 5.0, 2: 4.0, 3: 8.0, 4: 9.0}, held_out=(0, 2, 4))
        show_all(reporter, {3: 3.0, 4: 2.0, 5: 7.0}, held_out=(4,))
        show_all(reporter, {5: 1.0})
    assert points(store, "loss") == points(store, "loss/asr") == [(1, 5.0), (2, 4.0), (3, 3.0), (4, 2.0), (5, 1.0)]
    assert points(store, "held_out_loss/asr") == [(0, 9.0), (2, 4.0), (4, 2.0)]
    assert points(store, "held_out_loss/tts") == [(0, 10.0), (2, 5.0), (4, 3.0)]


def test_a_run_that_is_killed_goes_on_behind_its_last_checkpoint(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with Curves(store, PLAN_ID) as curves:
        tell(curves, store, {1: 5.0, 2: 4.0, 3: 8.0}, held_out=(2, 3))
    with Curves(store, PLAN_ID) as curves:
        tell(curves, store, {3: 3.0, 4: 2.0}, held_out=(4,))
    assert points(store, "loss") == [(1, 5.0), (2, 4.0), (3, 3.0), (4, 2.0)]
    assert points(store, "held_out_loss/asr") == [(2, 4.0), (4, 2.0)]


def test_curves_in_an_object_store_are_there_when_they_are_put(tmp_path: Path) -> None:
    store = Store.from_uri(f"memory://{tmp_path.name}")
    with Curves(store, PLAN_ID) as curves:
        curves.add("stage1", 1, {"loss": 5.0})
        curves.put()
        assert len(store.files.entries("curves")) == 1


def test_the_best_is_told_by_the_mean_of_all_tasks_of_the_part() -> None:
    state = TrainingState(identity="run", part="stage1", step=2)
    state.note({"loss": 7.0, "held_out_loss/asr": 1.0, "held_out_loss/tts": 2.0})
    state.next_part("stage2")
    state.step = 4
    state.note({"held_out_loss/asr": 1.0, "held_out_loss/tts": 4.0})
    assert _held_out_losses(state) == {4: 2.5}


def test_weights_and_biases_has_one_run_for_each_time_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    store = Store(tmp_path)
    with Curves(store, PLAN_ID, wandb_project="mine") as curves:
        reporter = Reporter(RunFolder(store, PLAN_ID), [PART], curves, Keeping(), Gauges("edge", PLAN_ID))
        show_all(reporter, {1: 5.0, 2: 4.0, 3: 8.0}, held_out=(2,))
        show_all(reporter, {3: 3.0})
    assert [wandb_history(path) for path in sorted((tmp_path / "curves" / "wandb").glob("offline-run-*/*.wandb"))] == [
        [(1, 5.0), (2, 4.0), (3, 8.0)],
        [(3, 3.0)],
    ]


def wandb_history(path: Path) -> list[tuple[int, float]]:
    """Of its file: 7 bytes, then records in one block: checksum (4), length (2), type (1), a message."""
    from wandb.proto import wandb_internal_pb2

    data, place, rows = path.read_bytes(), 7, list[tuple[int, float]]()
    while place < len(data):
        length = int.from_bytes(data[place + 4 : place + 6], "little")
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data[place + 7 : place + 7 + length])
        values = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
        if "loss" in values:
            rows.append((record.history.step.num, json.loads(values["loss"])))
        place += 7 + length
    return rows
