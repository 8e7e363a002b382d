"""Stage 3 at debug size on four workers over two nodes: killed, gone on with on two, it has the losses of one worker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.store import Store

from tests.pipelines.nodes import ENVIRONMENT, Nodes, nodes
from tests.pipelines.sequences_to_checkpoint.conftest import put_sequences
from uniaudio.lm.config import LMConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.run.folder import write_about
from uniaudio.training.lm.doubles import tiny_vocabulary

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(1500)]
FIELDS: dict[str, Any] = {
    "stages": ["stage3"],
    "num_steps": 12,
    "num_rows": 6,
    "context": 256,
    "checkpoint_every": 3,
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Nodes]:
    with nodes(tmp_path) as running:
        yield running


def new_store(root: Path) -> Store:
    """Sequences, and a model of the debug size beside the store to start from."""
    put_sequences(root)
    vocabulary, folder = tiny_vocabulary(), root.parent / "model"
    if not folder.exists():
        UniAudioLM(LMConfig.preset("debug", vocabulary)).save(folder)
        (folder / "vocabulary.json").write_text(vocabulary.to_json())
        write_about(folder, ["asr"], "c" * 32)
    return Store(root)


class Run:
    """The edge as a process on the cluster."""

    def __init__(self, store: Store, cluster: Nodes, **fields: Any) -> None:
        self.store, self.log = store, Path(f"{store.root}.log")
        job = json.dumps({**FIELDS, "model": str(Path(store.root).parent / "model"), **fields})
        command = [sys.executable, "-m", "uniaudio_pipelines.sequences_to_checkpoint", "--store", str(store.root)]
        environment = {**os.environ, **ENVIRONMENT, "RAY_ADDRESS": cluster.address, "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--job", job, "--run-id", "test"], env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def wait_for_checkpoint(self) -> None:
        """One that the run would go on from: Ray Train has it from all workers."""
        while not any("checkpoint_dir_name" in path.read_text() for path in self._snapshots()):
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            time.sleep(0.1)

    def _snapshots(self) -> list[Path]:
        return list(Path(self.store.root).glob("train/*/run/checkpoint_manager_snapshot.json"))

    def finish(self) -> Checkpoint:
        assert self.process.wait(900) == 0, self.log.read_text()[-6000:]
        manifest = self.store.head("checkpoint")
        assert manifest is not None
        return next(iter(self.store.rows(manifest, Checkpoint)))


def losses_of(row: Checkpoint) -> dict[str, float]:
    points = {f"{point.name} {point.step}": point.value for point in row.metrics if point.name.endswith("loss")}
    return points | {f"held out {loss.task}": loss.after for loss in row.held_out}


def assert_same_losses(left: Checkpoint, right: Checkpoint) -> None:
    first, second = losses_of(left), losses_of(right)
    assert first.keys() == second.keys()
    distance = max(abs(first[name] - second[name]) for name in first)
    print(f"largest difference of {len(first)} losses: {distance:.2e}")
    assert distance < 1e-6


def test_four_workers_are_killed_and_go_on_with_two_to_the_losses_of_one(cluster: Nodes, tmp_path: Path) -> None:
    cluster.add(4)
    cluster.add(4)
    alone = Run(new_store(tmp_path / "alone"), cluster).finish()
    store = new_store(tmp_path / "killed")
    first = Run(store, cluster, num_workers=4)
    first.wait_for_checkpoint()
    first.process.kill()
    first.process.wait(60)
    assert store.head("checkpoint") is None
    assert_same_losses(alone, Run(store, cluster, num_workers=2).finish())


def test_a_lost_node_leaves_a_smaller_group_that_goes_on_by_itself(cluster: Nodes, tmp_path: Path) -> None:
    cluster.add(4)
    lost = cluster.add(4)
    alone = Run(new_store(tmp_path / "alone"), cluster).finish()
    run = Run(new_store(tmp_path / "elastic"), cluster, num_workers=4, min_workers=1)
    run.wait_for_checkpoint()
    lost.kill()
    assert_same_losses(alone, run.finish())
