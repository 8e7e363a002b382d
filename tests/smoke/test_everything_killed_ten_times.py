"""The flow `everything` on two nodes with the store on an S3 server: workers, drivers, raylets and the flow's own process are killed ten
times on the way, and whoever asked asks again. The versions are those of an undisturbed run of the same flow on a disk.
"""

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from uniaudio_schemas.store import Store

from tests.flows.conftest import Services, free_port
from tests.pipelines.nodes import Node, Nodes, nodes
from tests.s3 import Proxy, a_server, a_uri, environment
from tests.smoke.test_ten_kills_on_two_nodes import KINDS, is_worker
from tests.smoke.test_whole_arc import lay_out_source

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(5_400)]
FIELDS: dict[str, dict[str, Any]] = {
    "ingest_corpus": {"max_files_per_shard": 4},
    "annotate_corpus": {"annotators": ["loudness", "source_caption"]},
    "train_codec": {"phases": ["reasoning", "decoder"], "num_steps": {"reasoning": 12, "decoder": 12}},
    "tokenize_corpus": {"clips_per_unit": 4},
    "train_stage": {"stages": ["text_warmup", "stage1"], "num_steps": 40},
    "evaluate_checkpoint": {"benchmarks": ["perplexity", "held_out_loss"], "num_sequences": 2},
}
KILLS: dict[str, tuple[str, ...]] = {
    "source_to_raw": ("driver",),
    "raw_to_annotated": ("flow",),
    "annotated_to_codec": ("worker", "raylet", "driver"),
    "annotated_to_instructions": ("worker",),
    "instructions_to_tokens": ("driver",),
    "sequences_to_checkpoint": ("worker", "raylet", "flow"),
}
"""What an edge was too quick for is killed in a later one."""
TRAINING = ("annotated_to_codec", "sequences_to_checkpoint")
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with a_server() as port:
        for name, value in environment(Proxy(port).port).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("UNIAUDIO_CACHE", str(tmp_path / "cache"))
        # Jobs on a cluster run the `python` that its nodes find.
        monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        yield a_uri()


@pytest.fixture
def cluster(s3: str, tmp_path: Path) -> Iterator[tuple[Nodes, str]]:
    """And the address that takes its jobs."""
    (tmp_path / "nodes").mkdir()
    port = free_port()
    with nodes(tmp_path / "nodes", dashboard_port=port) as running:
        yield running, f"http://127.0.0.1:{port}"


@pytest.fixture
def services(cluster: tuple[Nodes, str], s3: str, tmp_path: Path) -> Iterator[Services]:
    running = Services(tmp_path / "data")
    lay_out_source(running.data / "source")
    running.dashboard = cluster[1]
    running.environment |= {"RAY_ADDRESS": cluster[1], "RAY_AUTH_MODE": "disabled", "UNIAUDIO_STORE": s3}
    running.environment |= {"UNIAUDIO_CACHE": os.environ["UNIAUDIO_CACHE"]}
    started = running.uniaudio("up")
    try:
        assert started.returncode == 0, started.stderr
        yield running
    finally:
        running.uniaudio("down")


class Run:
    """`everything`, asked for again after each of its ends that is not the one that was wanted."""

    def __init__(self, services: Services, **told: str) -> None:
        self._services, self._told = services, {**FIELDS, **told}
        self.num_asked = 0
        self.ask()

    def ask(self) -> None:
        self.num_asked += 1
        command = ("deployment", "run", "everything/local", "--params", json.dumps(self._told))
        started = self._services.prefect(*command)
        assert started.returncode == 0, started.stderr
        self._id = started.stdout.split("UUID:")[1].split()[0]

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self._services.api(f"flow_runs/{self._id}")["state"]
        return found

    def is_complete(self) -> bool:
        """Asks again where it failed, which only a kill may be the reason of."""
        state = self.state
        if state["type"] in FINAL and state["type"] != "COMPLETED":
            assert self.num_asked < 10, state
            self.ask()
        return bool(state["type"] == "COMPLETED")

    def job(self) -> dict[str, Any] | None:
        """The one that has said how far it is."""
        for job in self._services.jobs():
            if job["status"] == "RUNNING" and "PROGRESS " in self._log(job["submission_id"]):
                return job
        return None

    def processes(self) -> list[psutil.Process]:
        """Of the flow."""
        marks = (self._id, self._id.replace("-", ""))
        return [p for p in psutil.process_iter() if _environment(p).get("PREFECT__FLOW_RUN_ID") in marks]

    def _log(self, submission_id: str) -> str:
        import urllib.request

        with urllib.request.urlopen(f"{self._services.dashboard}/api/jobs/{submission_id}/logs") as answer:
            return str(json.load(answer)["logs"])


class Disturbance:
    def __init__(self, cluster: Nodes, draw: random.Random) -> None:
        self._cluster, self._draw = cluster, draw
        self._nodes: list[Node] = [cluster.add(), cluster.add()]
        self._left = {edge: list(kinds) for edge, kinds in KILLS.items()}
        self.done: list[str] = []

    def disturb(self, run: Run) -> None:
        """Kill what is next, at a random moment of the work of the edge that is at work; nothing where none is."""
        job = run.job()
        if job is None or not (waiting := self._waiting(job["metadata"]["edge"])):
            return
        edge = job["metadata"]["edge"]
        time.sleep(self._draw.uniform(0, 3 if edge in TRAINING else 0.5))
        what = waiting[0]
        if self._kill(what, run, job["submission_id"]):
            waiting.pop(0)
            self.done.append(f"{edge}: {what}")
            print(f"{time.strftime('%X')} {self.done[-1]}", flush=True)

    def _waiting(self, edge: str) -> list[str]:
        """Of this edge, else of an earlier one that was too quick."""
        for earlier in KILLS:
            if self._left[earlier]:
                return self._left[earlier] if list(KILLS).index(earlier) <= _place(edge) else []
        return []

    def _kill(self, what: str, run: Run, submission_id: str) -> bool:
        """False where it has ended."""
        victims = {"worker": self._workers, "flow": run.processes, "driver": lambda: _drivers(submission_id)}
        if what == "raylet":
            node = self._draw.choice([node for node in self._nodes if node.has_raylet()])
            self._nodes.remove(node)
            node.kill_raylet()
            self._nodes.append(self._cluster.add())
            return True
        found = victims[what]()
        for process in self._draw.sample(found, min(1, len(found))) if what == "worker" else found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return bool(found)

    def _workers(self) -> list[psutil.Process]:
        return [process for node in self._nodes for process in node.processes() if is_worker(process)]


def _place(edge: str) -> int:
    """Of an edge among those with kills; one without counts as none."""
    return list(KILLS).index(edge) if edge in KILLS else -1


def _drivers(submission_id: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter() if submission_id in _command(p) and "-m" in _command(p)]


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _environment(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error):
        return dict(process.environ())
    return {}


def test_everything_ends_in_the_versions_of_a_quiet_disk(
    services: Services, cluster: tuple[Nodes, str], s3: str, tmp_path: Path
) -> None:
    disturbance = Disturbance(cluster[0], random.Random(11))
    began = time.monotonic()
    run = Run(services)
    while not run.is_complete():
        disturbance.disturb(run)
        time.sleep(0.2)
    print(f"disturbed {time.monotonic() - began:.0f} s, asked {run.num_asked} times: {disturbance.done}", flush=True)
    assert len(disturbance.done) == 10
    began, quiet = time.monotonic(), Run(services, store=str(tmp_path / "disk"))
    while not quiet.is_complete():
        time.sleep(1)
    print(f"quiet {time.monotonic() - began:.0f} s", flush=True)
    assert quiet.num_asked == 1
    ours, theirs = Store(s3), Store(tmp_path / "disk")
    for kind in KINDS:
        one, other = ours.head(kind), theirs.head(kind)
        assert one is not None and other is not None, kind
        assert one.to_json() == other.to_json(), kind
        ours.verify(one)
    assert not ours.files.entries("train")
