"""From files to scores on two nodes with the store on an S3 server, workers, drivers and raylets killed ten times on the way: the versions are
those of an undisturbed run on a disk.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from uniaudio_schemas.store import Store

from tests.pipelines.nodes import Node, Nodes, nodes
from tests.s3 import Proxy, a_server, a_uri, environment
from tests.smoke.test_whole_arc import lay_out_source

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(3_600)]
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
KINDS = ("raw", "cuts", "annotated", "codec", "instructions", "tokens", "sequences", "checkpoint", "scores")
KILLS = {
    "source_to_raw": ("driver",),
    "raw_to_annotated": ("worker",),
    "annotated_to_codec": ("worker", "driver", "raylet"),
    "annotated_to_instructions": ("worker",),
    "instructions_to_tokens": ("driver",),
    "sequences_to_checkpoint": ("worker", "raylet", "driver"),
}
WORKERS = ("ray::Bench", "ray::RayTrainWorker")


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with a_server() as port:
        for name, value in environment(Proxy(port).port).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("UNIAUDIO_CACHE", str(tmp_path / "cache"))
        yield a_uri()


class Program:
    """The driver of one edge, begun again after each of its deaths."""

    def __init__(self, edge: str, fields: dict[str, Any], store: str, log: Path, address: str | None) -> None:
        self.edge, self._log = edge, log
        self._command = [sys.executable, "-m", f"uniaudio_pipelines.{edge}", "--store", store, "--run-id", "one"]
        self._command += ["--job", json.dumps(fields)]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
        self._environment.pop("RAY_ADDRESS", None)
        if address is not None:
            self._environment["RAY_ADDRESS"] = address
        self.start()

    def start(self) -> None:
        self._began = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as file:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=file, stderr=subprocess.STDOUT
            )

    def kill(self) -> None:
        self.end()
        self.start()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def is_at_work(self) -> bool:
        """Once it has said how far it is."""
        return b"PROGRESS " in self._log.read_bytes()[self._began :]

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def finish(self) -> None:
        assert self._process.wait(1_200) == 0, f"{self.edge}: {self._log.read_text()[-5000:]}"


class Disturbance:
    def __init__(self, cluster: Nodes, draw: random.Random) -> None:
        self._cluster, self._draw = cluster, draw
        self._living = [cluster.add(), cluster.add()]
        self.done: list[str] = []

    def disturb(self, program: Program, what: str) -> None:
        """At a random moment of its work; where no worker is left to kill, it is the driver."""
        deadline = time.monotonic() + 300
        while not program.has_ended() and not (self._workers() if what == "worker" else program.is_at_work()):
            assert time.monotonic() < deadline, f"{program.edge} does not begin"
            time.sleep(0.05)
        time.sleep(self._draw.uniform(0, 3 if "checkpoint" in program.edge or "codec" in program.edge else 0.5))
        if program.has_ended():
            program.start()  # it finds its version and ends; what follows is killed while it looks
        if what == "raylet":
            node = self._draw.choice([node for node in self._living if node.has_raylet()])
            self._living.remove(node)
            node.kill_raylet()
            self._living.append(self._cluster.add())
        elif what == "worker" and (workers := self._workers()):
            self._draw.choice(workers).kill()
        else:
            what = "driver"
            program.kill()
        self.done.append(f"{program.edge}: {what}")

    def _workers(self) -> list[psutil.Process]:
        return [process for node in self._living for process in node.processes() if is_worker(process)]

    @property
    def nodes(self) -> list[Node]:
        return self._living


def is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()[:1] != [] and process.cmdline()[0].startswith(WORKERS)
    return False


def fields_of(edge: str, source: Path) -> dict[str, Any]:
    return {**EDGES[edge], **({"source": str(source)} if edge == "source_to_raw" else {})}


def test_ten_kills_on_two_nodes_and_s3_make_the_versions_of_a_quiet_disk(s3: str, tmp_path: Path) -> None:
    lay_out_source(tmp_path / "source")
    (tmp_path / "nodes").mkdir()
    draw = random.Random(7)
    with nodes(tmp_path / "nodes") as cluster:
        disturbance = Disturbance(cluster, draw)
        for edge in EDGES:
            log = tmp_path / f"{edge}.log"
            program = Program(edge, fields_of(edge, tmp_path / "source"), s3, log, cluster.address)
            try:
                for what in KILLS.get(edge, ()):
                    disturbance.disturb(program, what)
                program.finish()
            finally:
                program.end()
            print(edge, "ends after", [one for one in disturbance.done if one.startswith(edge)], flush=True)
    assert len(disturbance.done) == 10
    for edge in EDGES:
        log = tmp_path / f"quiet-{edge}.log"
        Program(edge, fields_of(edge, tmp_path / "source"), str(tmp_path / "disk"), log, None).finish()
    disturbed, quiet = Store(s3), Store(tmp_path / "disk")
    for kind in KINDS:
        ours, theirs = disturbed.head(kind), quiet.head(kind)
        assert ours is not None and theirs is not None, kind
        assert ours.to_json() == theirs.to_json(), kind
        disturbed.verify(ours)
    assert not disturbed.files.entries("train")
