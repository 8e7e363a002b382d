"""An edge on several Ray nodes: some come late, some are lost, some do not see what the driver sees."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.jobs import job_to_json
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_schemas.store import Store

from tests.pipelines.counting import Count, CountWorker, start_program, wait_for_units
from tests.pipelines.nodes import nodes

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(580)]


def wait_for_line(program: "subprocess.Popen[str]", part: str) -> str:
    assert program.stdout is not None
    for line in program.stdout:
        if part in line:
            return line
    raise AssertionError(f"the program ended before it said {part!r}")


def test_nodes_that_are_late_or_lost_change_nothing_of_what_is_made(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / "hold").touch()
    job = Count(num_units=24, seconds_a_unit=0.5, marks=str(marks))
    with nodes(tmp_path) as cluster:
        program = start_program(tmp_path / "store", job, RAY_ADDRESS=cluster.address)
        # The head has no processor: what waits is said, and is what a growing cluster grows by.
        line = wait_for_line(program, "waiting")
        assert line.endswith("for a worker of 1 CPU to start: the cluster has 0 of 0 CPU free on 1 node\n")
        first, second = cluster.add(), cluster.add()
        await_work_on(first.address, marks)
        await_work_on(second.address, marks)
        (marks / "hold").unlink()
        wait_for_units(program, 5)
        first.kill_raylet()
        # Replacements of its worker wait for ever, on a cluster whose one other place is taken.
        wait_for_units(program, 12)
        (marks / "hold").touch()
        await_work_on(cluster.add().address, marks)
        second.kill()
        (marks / "hold").unlink()
        rest, _ = program.communicate()
        assert program.returncode == 0, rest
    found = Store(tmp_path / "store").head("raw")
    undisturbed = run_edge(Store(tmp_path / "other"), Count(num_units=24), CountWorker, num_workers=0)
    assert found is not None
    assert found.to_json() == undisturbed.to_json()


def await_work_on(address: str, marks: Path) -> None:
    deadline = time.monotonic() + 200
    while not any(mark.read_text() == address for mark in marks.iterdir()):
        assert time.monotonic() < deadline, f"{address} had no work"
        time.sleep(0.1)


@pytest.mark.skipif(os.geteuid() != 0, reason="hides a folder from a process with a mount of its own")
def test_a_node_that_sees_no_store_or_no_source_is_told_so_in_one_line(tmp_path: Path) -> None:
    source, store, away = tmp_path / "source", tmp_path / "store", tmp_path / "away"
    for folder in (source, store, away):
        folder.mkdir()
    (source / "a.txt").write_text("Bees.")
    run_edge(Store(store), Count(), CountWorker, num_workers=0)
    hidden = f'mount -t tmpfs none {store} && mount -t tmpfs none {away} && exec "$0" "$@"'
    with nodes(tmp_path) as cluster:
        cluster.add(prefix=("unshare", "--mount", "sh", "-c", hidden))
        hidden_store = said_by_raw(source, store, cluster.address)
        assert f" (127.0.0.3) sees another store at {store} than the driver" in hidden_store
        (away / "source").mkdir()
        (away / "source" / "a.txt").write_text("Bees.")
        elsewhere = said_by_raw(away / "source", tmp_path / "seen", cluster.address)
        assert f"has no folder {away / 'source'}: the source must be there on every node" in elsewhere
        no_store = said_by_raw(source, away / "store", cluster.address)
        assert f"has no folder {away / 'store'}: the store must be there on every node" in no_store


def said_by_raw(source: Path, store: Path, address: str) -> str:
    """The one line of an error."""
    command = [sys.executable, "-m", "uniaudio_pipelines.source_to_raw", "--store", str(store)]
    command += ["--job", job_to_json(SourceToRaw(source=str(source)))]
    environment: dict[str, Any] = {**os.environ, "RAY_ADDRESS": address}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ERROR: ")]
    return line
