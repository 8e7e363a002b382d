"""Workers, drivers and raylets killed ten times at seeded moments: what is made is what an undisturbed run makes, and nothing is done twice
that was finished."""

import random
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_schemas.store import Store

from tests.pipelines.counting import Count, CountWorker, start_program
from tests.pipelines.nodes import Node, Nodes, nodes

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(1_200)]

NUM_UNITS = 60
KILLS = ("worker", "worker", "worker", "worker", "worker", "driver", "driver", "driver", "raylet", "raylet")


class Disturbed:
    """A run of the edge that goes on until it has been killed as often as it should."""

    def __init__(self, folder: Path, cluster: Nodes) -> None:
        self.folder, self.cluster = folder, cluster
        self.marks = folder / "marks"
        self.marks.mkdir()
        self.job = Count(num_units=NUM_UNITS, seconds_a_unit=0.7, marks=str(self.marks))
        self.living: list[Node] = [cluster.add(), cluster.add()]
        self.log = folder / "program.log"
        self.program = self.start()

    def start(self) -> "subprocess.Popen[str]":
        with self.log.open("a") as log:
            return start_program(self.folder / "store", self.job, stdout=log, RAY_ADDRESS=self.cluster.address)

    def kill(self, what: str, draw: random.Random) -> None:
        if what == "driver":
            self.program.kill()
            self.program.wait()
            self.program = self.start()
        elif what == "raylet":
            # Not one that is still starting: it would be no loss.
            node = draw.choice([node for node in self.living if any(map(_is_worker, node.processes()))])
            self.living.remove(node)
            node.kill_raylet()
            self.living.append(self.cluster.add())
        elif workers := self.workers():
            draw.choice(workers).kill()

    def workers(self) -> list[psutil.Process]:
        """Those of this cluster, whatever else runs on the machine."""
        return [process for node in self.living for process in node.processes() if _is_worker(process)]

    def await_more_work(self, draw: random.Random) -> None:
        """Until some units more were begun, and then a part of one."""
        before = len(list(self.marks.iterdir()))
        wanted = before + draw.randint(1, 4)
        deadline = time.monotonic() + 200
        while len(list(self.marks.iterdir())) < wanted:
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.program.poll() is None, self.log.read_text()
            time.sleep(0.05)
        time.sleep(draw.uniform(0.0, 0.7))


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()[:1] != [] and process.cmdline()[0].startswith("ray::Bench")
    return False


@pytest.mark.parametrize("seed", [2])
def test_ten_kills_change_nothing_of_what_is_made(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    kills = draw.sample(KILLS, len(KILLS))
    with nodes(tmp_path) as cluster:
        run = Disturbed(tmp_path, cluster)
        for what in kills:
            run.await_more_work(draw)
            run.kill(what, draw)
        assert run.program.wait(400) == 0, run.log.read_text()
    found = Store(tmp_path / "store").head("raw")
    undisturbed = run_edge(Store(tmp_path / "other"), Count(num_units=NUM_UNITS), CountWorker, num_workers=0)
    assert found is not None
    assert found.to_json() == undisturbed.to_json()
    begun = Counter(mark.name.split(".")[0] for mark in run.marks.iterdir())
    # A kill takes at most what was in hand: one unit a worker, of two workers.
    assert sum(begun.values()) <= NUM_UNITS + 2 * len(kills)
