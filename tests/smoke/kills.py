"""What the tests of ten kills share: the edges and their fields, two nodes whose workers and raylets are killed, stores compared."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from uniaudio_schemas.store import Store

from tests.pipelines.nodes import Node, Nodes, nodes

EDGES: dict[str, dict[str, Any]] = {
    "source_to_raw": {"max_files_per_shard": 4},
    "raw_to_annotated": {"annotators": ["loudness", "source_caption"]},
    "annotated_to_codec": {"phases": ["reasoning", "decoder"], "num_steps": {"reasoning": 12, "decoder": 12}},
    "annotated_to_instructions": {},
    "instructions_to_tokens": {"clips_per_unit": 4},
    "tokens_to_sequences": {},
    "sequences_to_checkpoint": {"stages": ["text_warmup", "stage1"], "num_steps": 40},
    "checkpoint_to_scores": {"benchmarks": ["perplexity", "held_out_loss"], "num_sequences": 2},
}
"""Edge -> fields of its job that make it small."""
TRAINING = ("annotated_to_codec", "sequences_to_checkpoint")
KINDS = ("raw", "cuts", "annotated", "codec", "instructions", "tokens", "sequences", "checkpoint", "scores")
WORKERS = ("ray::Bench", "ray::RayTrainWorker")
NUM_NODES = 2


class Victims:
    """The nodes behind a head, and who can be killed on them."""

    def __init__(self, cluster: Nodes, draw: random.Random) -> None:
        self.draw, self._cluster = draw, cluster
        self._living: list[Node] = [cluster.add() for _ in range(NUM_NODES)]

    def workers(self) -> list[psutil.Process]:
        return [process for node in self._living for process in node.processes() if _is_worker(process)]

    def kill_raylet(self) -> None:
        """Of some node; another one comes for it."""
        node = self.draw.choice([node for node in self._living if node.has_raylet()])
        self._living.remove(node)
        node.kill_raylet()
        self._living.append(self._cluster.add())

    def pause_s(self, edge: str) -> float:
        """Up to some moment of an edge's work."""
        return self.draw.uniform(0, 3 if edge in TRAINING else 0.5)


@contextmanager
def a_head(folder: Path, dashboard_port: int | None = None) -> Iterator[Nodes]:
    """Of a cluster that has no other node yet."""
    folder.mkdir()
    with nodes(folder, dashboard_port=dashboard_port) as running:
        yield running


def check_same_versions(disturbed: Store, quiet: Store) -> None:
    """Of every kind, byte for byte; what was disturbed is whole, and no training run has left anything."""
    for kind in KINDS:
        ours, theirs = disturbed.head(kind), quiet.head(kind)
        assert ours is not None and theirs is not None, kind
        assert ours.to_json() == theirs.to_json(), kind
        disturbed.verify(ours)
    assert not disturbed.files.entries("train")


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()[:1] != [] and process.cmdline()[0].startswith(WORKERS)
    return False
