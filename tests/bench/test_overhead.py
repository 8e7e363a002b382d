"""What an edge costs beside its work: the same units by a plain loop, by the edge's runner in this process, on Ray, and by a flow.

    pytest -m bench -s tests/bench/test_overhead.py
    UNIAUDIO_BENCH_SECONDS=60 pytest -m bench -s tests/bench/test_overhead.py

The work is sleep, so that neither the processors nor what else runs on them count. Two workers share it; the plain loop has half of it.
What is fixed is divided by a minute's work.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_schemas.store import Store

from tests.flows import conftest
from tests.pipelines.counting import Count, CountWorker, start_program

services = conftest.services
pytestmark = [pytest.mark.bench, pytest.mark.services, pytest.mark.timeout(1_800)]
SECONDS = float(os.environ.get("UNIAUDIO_BENCH_SECONDS", "20"))
"""Of wall time that the plain loop takes."""
NUM_WORKERS, SECONDS_A_UNIT = 2, 1.0
MOST = 0.1
"""Of a minute."""


def test_an_edge_costs_little_beside_its_work(tmp_path: Path) -> None:
    num_units = int(SECONDS / SECONDS_A_UNIT)
    here = timed(lambda: run_edge(Store(tmp_path / "here"), count(num_units), CountWorker, num_workers=0))
    job = count(NUM_WORKERS * num_units)

    def on_ray() -> None:
        assert start_program(tmp_path / "ray", job).wait() == 0

    on_two = timed(on_ray)
    for name, seconds in (("in this process", here), ("on a private Ray cluster, 2 workers", on_two)):
        fixed = seconds - SECONDS
        print(
            f"{name}: {seconds:.1f} s for {SECONDS:.0f} s of work, {fixed:.1f} s beside it: {fixed / 60:+.1%} of a minute"
        )
    assert (here - SECONDS) / 60 < MOST / 2


def test_a_flow_costs_little_beside_its_work(services: conftest.Services, tmp_path: Path) -> None:
    """`ingest-corpus` over twelve short files, against its edge in this process: all that is more is fixed."""
    from uniaudio_pipelines.source_to_raw.job import SourceToRaw
    from uniaudio_pipelines.source_to_raw.worker import RawWorker

    job = SourceToRaw(source=str(services.data / "source"))
    plain = timed(lambda: run_edge(Store(tmp_path / "plain"), job, RawWorker, num_workers=0))

    def by_flow() -> None:
        done = services.prefect("deployment", "run", "ingest-corpus/local", "--watch", "--watch-interval", "1")
        assert done.returncode == 0, done.stdout

    fixed = timed(by_flow) - plain
    print(f"a flow: {fixed:.1f} s beside the work: {fixed / 60:+.1%} of a minute")


def count(num_units: int) -> Count:
    return Count(num_units=num_units, seconds_a_unit=SECONDS_A_UNIT)


def timed(run: Callable[[], object]) -> float:
    started = time.monotonic()
    run()
    return time.monotonic() - started
