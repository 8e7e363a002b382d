"""From files to scores on two nodes with the store on an S3 server, workers, drivers and raylets killed ten times on the way: the versions are
those of an undisturbed run on a disk.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from uniaudio_schemas.store import Store

from tests.smoke.kills import EDGES, Victims, a_head, check_same_versions
from tests.smoke.test_whole_arc import lay_out_source

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(3_600)]
KILLS = {
    "source_to_raw": ("driver",),
    "raw_to_annotated": ("worker",),
    "annotated_to_codec": ("worker", "driver", "raylet"),
    "annotated_to_instructions": ("worker",),
    "instructions_to_tokens": ("driver",),
    "sequences_to_checkpoint": ("worker", "raylet", "driver"),
}


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
    def __init__(self, victims: Victims) -> None:
        self._victims, self.done = victims, list[str]()

    def disturb(self, program: Program, what: str) -> None:
        """At a random moment of its work; where no worker is left to kill, it is the driver."""
        deadline, victims = time.monotonic() + 300, self._victims
        while not program.has_ended() and not (victims.workers() if what == "worker" else program.is_at_work()):
            assert time.monotonic() < deadline, f"{program.edge} does not begin"
            time.sleep(0.05)
        time.sleep(victims.pause_s(program.edge))
        if program.has_ended():
            program.start()  # it finds its version and ends; what follows is killed while it looks
        if what == "raylet":
            victims.kill_raylet()
        elif what == "worker" and (workers := victims.workers()):
            victims.draw.choice(workers).kill()
        else:
            what = "driver"
            program.kill()
        self.done.append(f"{program.edge}: {what}")


def fields_of(edge: str, source: Path) -> dict[str, Any]:
    return {**EDGES[edge], **({"source": str(source)} if edge == "source_to_raw" else {})}


def test_ten_kills_on_two_nodes_and_s3_make_the_versions_of_a_quiet_disk(s3: str, tmp_path: Path) -> None:
    lay_out_source(tmp_path / "source")
    with a_head(tmp_path / "nodes") as cluster:
        disturbance = Disturbance(Victims(cluster, random.Random(7)))
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
    check_same_versions(Store(s3), Store(tmp_path / "disk"))
