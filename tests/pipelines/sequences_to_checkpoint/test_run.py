"""Training under Ray Train: published once, bit for bit the same whatever was killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.sequences_to_checkpoint.driver import run_stages
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.store import Store

from uniaudio.lm.config import LMConfig
from uniaudio.training.lm.weights import load_model

MakeStore = Callable[[str], Store]
pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(900)]


def start(store: Store, **fields: Any) -> subprocess.Popen[bytes]:
    """The edge as a process with a Ray of its own; what it prints goes to `log_of(store)`."""
    command = [sys.executable, "-m", "uniaudio_pipelines.sequences_to_checkpoint", "--store", str(store.root)]
    command += ["--job", json.dumps(fields), "--run-id", "test"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("RAY_ADDRESS", None)
    with log_of(store).open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def log_of(store: Store) -> Path:
    return Path(str(store.root)).with_suffix(".log")


def finish(store: Store, process: subprocess.Popen[bytes]) -> list[str]:
    code = process.wait(timeout=600)
    text = log_of(store).read_text()
    assert code == 0, text[-4000:]
    return text.splitlines()


def wait_for_step(store: Store, step: int, process: subprocess.Popen[bytes]) -> int:
    """The worker's process id once it has reached `step`."""
    while process.poll() is None:
        for path in Path(store.root).glob("train/*/progress.json"):
            state = json.loads(path.read_text())
            if state["step"] >= step:
                return int(state["pid"])
        time.sleep(0.05)
    raise AssertionError(f"ended with {process.returncode} before step {step}: {log_of(store).read_text()[-4000:]}")


def row_of(store: Store, ref: str) -> Checkpoint:
    manifest = store.head("checkpoint", ref)
    assert manifest is not None
    return next(iter(store.rows(manifest, Checkpoint)))


def test_two_stages_are_published_and_a_second_run_has_nothing_to_do(store_with_sequences: MakeStore) -> None:
    store = store_with_sequences("store")
    fields: dict[str, Any] = {"stages": ["text_warmup", "stage1"], "num_steps": 12}
    lines = finish(store, start(store, **fields))
    first, second = row_of(store, "text_warmup"), row_of(store, "stage1")
    assert (first.parent, second.parent) == (None, first.checkpoint_id)
    assert row_of(store, "latest") == second
    assert [loss.task for loss in second.held_out] == ["asr"]
    assert all(loss.after < loss.before for loss in (*first.held_out, *second.held_out))
    assert sum(entry.num_examples for entry in second.ledger) <= second.data_position
    load_model(store.open_blob(second.weights), LMConfig.from_json(json.dumps(json.loads(second.config)["model"])))
    progress = [json.loads(line.removeprefix("PROGRESS ")) for line in lines if line.startswith("PROGRESS ")]
    assert progress[-1] == {"done": 24, "total": 24, "unit": "steps"}
    assert len([line for line in lines if line.startswith("SUMMARY ")]) == 1
    assert not list(Path(store.root).glob("train/*"))
    job = SequencesToCheckpoint(stages=("text_warmup", "stage1"), num_steps=12)
    assert run_stages(store, job, owner="again").plan_id == job.plan(store).plan_id


def test_a_killed_worker_and_a_killed_driver_leave_the_bits_of_an_undisturbed_run(
    store_with_sequences: MakeStore,
) -> None:
    undisturbed, killed = store_with_sequences("undisturbed"), store_with_sequences("killed")
    fields: dict[str, Any] = {"stages": ["text_warmup"], "num_steps": 70}
    finish(undisturbed, start(undisturbed, **fields))

    process = start(killed, **fields)
    os.kill(wait_for_step(killed, 30, process), signal.SIGKILL)
    wait_for_step(killed, 50, process)
    process.kill()
    process.wait(timeout=60)
    assert killed.head("checkpoint") is None
    finish(killed, start(killed, **fields))

    assert row_of(killed, "text_warmup") == row_of(undisturbed, "text_warmup")
    left, right = (store.head("checkpoint") for store in (killed, undisturbed))
    assert left is not None and right is not None and left.to_json() == right.to_json()


def test_two_workers_reach_the_same_loss_as_one(store_with_sequences: MakeStore) -> None:
    alone, together = store_with_sequences("alone"), store_with_sequences("together")
    finish(alone, start(alone, stages=["text_warmup"], num_steps=6))
    finish(together, start(together, stages=["text_warmup"], num_steps=6, num_workers=2))
    losses = [row_of(store, "latest").held_out[0].after for store in (alone, together)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
