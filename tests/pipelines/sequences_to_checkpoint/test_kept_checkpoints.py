"""Training checkpoints under Ray Train: written beside the steps, kept by a policy, never gone on from in part."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_schemas.history.find import find
from uniaudio_schemas.history.lineage import way_back
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.store import Store

from tests.pipelines.sequences_to_checkpoint.conftest import put_sequences
from tests.smoke.conftest import s3
from uniaudio.training.checkpoint import STATE_FILE, TrainingState, load_state
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_vocabulary
from uniaudio.training.lm.train import identity_of
from uniaudio.training.sequences.dataset import SequenceSet

__all__ = ["s3"]
MakeStore = Callable[[str], Store]
pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(900)]
FIELDS: dict[str, Any] = {"stages": ["text_warmup"], "num_steps": 40, "checkpoint_every": 5}

# Dies once, where the files of step 20 lie in the store and their state does not.
DRIVER = """
import json, os, signal, sys
from pathlib import Path
from uniaudio_schemas.store import Store
from uniaudio_pipelines.jobs import job_from_json
from uniaudio_pipelines.running import cluster
from uniaudio_pipelines.sequences_to_checkpoint import training
from uniaudio_pipelines.sequences_to_checkpoint.driver import run_stages
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint

marker, train_worker = sys.argv[3], training.train_worker

def dying_worker(config):
    from uniaudio.training import checkpoint
    save = checkpoint.dcp.save

    def save_and_die(*given, **named):
        save(*given, **named)
        folders = list(Path(config["store"]).glob("train/*/run/checkpoint_2*"))
        whole = [folder for folder in folders if (folder / "state.json").is_file()]
        if len(whole) >= 3 and not os.path.exists(marker):
            half = sorted(set(folders) - set(whole))
            Path(marker).write_text(json.dumps([folder.name for folder in half]))
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.dcp.save = save_and_die
    train_worker(config)

training.train_worker = dying_worker
cluster.connect()
run_stages(Store(sys.argv[1]), job_from_json(SequencesToCheckpoint, sys.argv[2]), owner="test")
cluster.disconnect()
"""


def run(command: list[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def train(store: Store, **fields: Any) -> str:
    job = json.dumps({**FIELDS, **fields})
    return run(["-m", "uniaudio_pipelines.sequences_to_checkpoint", "--store", str(store.root), "--job", job])


def row_of(store: Store) -> Checkpoint:
    manifest = store.head("checkpoint")
    assert manifest is not None
    return next(iter(store.rows(manifest, Checkpoint)))


def kept_steps(store: Store) -> dict[int, list[str]]:
    """Step -> files of its copy."""
    found: dict[int, list[str]] = {}
    for entry in store.files.entries("train"):
        *_, kept, name, file = entry.path.split("/")
        assert kept == "kept", entry.path
        found.setdefault(int(name.rpartition("-")[2]), []).append(file)
    return found


def state_of(store: Store, folder: Path) -> TrainingState:
    stage = SequencesToCheckpoint(**{**FIELDS, "stages": ("text_warmup",)}).stage("text_warmup")
    sequences = store.head("sequences")
    assert sequences is not None
    data = MixtureData(SequenceSet.open(store, sequences), tiny_vocabulary(), stage, 0)
    return load_state(folder, identity_of(stage, data))


def test_every_so_many_and_the_best_stay_whole_when_the_stage_is_published(store_with_sequences: MakeStore) -> None:
    store, plain = store_with_sequences("store"), store_with_sequences("plain")
    train(store, keep_every=3, keep_best=1)
    train(plain)
    kept = kept_steps(store)
    # The loss of a stage that learns text falls to its end: the best is the last.
    assert sorted(kept) == [15, 30, 40]
    best = max(kept)
    (folder,) = Path(store.root).glob(f"train/*/kept/text_warmup-{best:08d}")
    state = state_of(store, folder)
    held_out = {point.step: point.value for point in state.points if point.name.startswith("held_out_loss")}
    assert sorted(held_out) == list(range(0, best + 1, 5))
    assert min(held_out, key=lambda step: held_out[step]) == 40
    assert not list(Path(plain.root).glob("train/*"))
    assert row_of(store) == row_of(plain), "what is kept and held out moves nothing"
    assert way_back(store, find(store, row_of(store).checkpoint_id))["steps_on_ranks"] == {"1": 40}


def test_a_worker_that_dies_while_it_writes_goes_on_from_the_checkpoint_before(
    store_with_sequences: MakeStore, tmp_path: Path
) -> None:
    undisturbed, killed = store_with_sequences("undisturbed"), store_with_sequences("killed")
    train(undisturbed)
    marker = tmp_path / "half"
    run(["-c", DRIVER, str(killed.root), json.dumps(FIELDS), str(marker)])
    assert len(json.loads(marker.read_text())) == 1, "it died with one checkpoint in part"
    assert row_of(killed) == row_of(undisturbed)


def test_copies_stay_in_an_object_store(s3: str) -> None:
    put_sequences(s3)
    store = Store(s3)
    train(store, num_steps=20, keep_every=2)
    kept = kept_steps(store)
    assert sorted(kept) == [10, 20]
    assert all(len(files) == 2 and STATE_FILE in files for files in kept.values())
    names = {entry.path.split("/")[1] for entry in store.files.entries("curves")}
    assert len(names) == 1
