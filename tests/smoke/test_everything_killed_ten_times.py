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
from uniaudio_flows.everything import STEPS
from uniaudio_schemas.store import Store

from tests.flows.conftest import Services, free_port
from tests.pipelines.nodes import Nodes
from tests.smoke.kills import EDGES, Victims, a_head, check_same_versions
from tests.smoke.test_whole_arc import lay_out_source

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(5_400)]
FIELDS = {step.name: EDGES[step.job_class.EDGE] for step in STEPS}
KILLS: dict[str, tuple[str, ...]] = {
    "source_to_raw": ("driver",),
    "raw_to_annotated": ("flow",),
    "annotated_to_codec": ("worker", "raylet", "driver"),
    "annotated_to_instructions": ("worker",),
    "instructions_to_tokens": ("driver",),
    "sequences_to_checkpoint": ("worker", "raylet", "flow"),
}
"""What an edge was too quick for is killed in a later one."""
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@pytest.fixture
def cluster(s3: str, tmp_path: Path) -> Iterator[tuple[Nodes, str]]:
    """And the address that takes its jobs, which run the `python` that its nodes find."""
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        with a_head(tmp_path / "nodes", dashboard_port=port) as running:
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
    def __init__(self, victims: Victims) -> None:
        self._victims = victims
        self._left = {edge: list(kinds) for edge, kinds in KILLS.items()}
        self.done: list[str] = []

    def disturb(self, run: Run) -> None:
        """Kill what is next, at a random moment of the work of the edge that is at work; nothing where none is."""
        job = run.job()
        if job is None or not (waiting := self._waiting(job["metadata"]["edge"])):
            return
        edge = job["metadata"]["edge"]
        time.sleep(self._victims.pause_s(edge))
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
        if what == "raylet":
            self._victims.kill_raylet()
            return True
        workers = self._victims.workers()
        found = {
            "worker": lambda: self._victims.draw.sample(workers, min(1, len(workers))),
            "flow": run.processes,
            "driver": lambda: _drivers(submission_id),
        }[what]()
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return bool(found)


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
    disturbance = Disturbance(Victims(cluster[0], random.Random(11)))
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
    check_same_versions(Store(s3), Store(tmp_path / "disk"))
