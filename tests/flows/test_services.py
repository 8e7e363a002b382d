"""The promised calls, on a real Prefect server and a real Ray head."""

import contextlib
import json
import time

import psutil
import pytest
from uniaudio_schemas.store import Store

from tests.flows.conftest import Services

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(580)]


def test_build_multitask_data_makes_its_parents_first_and_then_nothing(services: Services) -> None:
    done = services.prefect("deployment", "run", "build-multitask-data/local", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store(services.data / "store")
    raw, instructions = store.head("raw"), store.head("instructions")
    assert raw is not None
    assert instructions is not None
    assert raw.num_rows == 12
    assert instructions.num_rows >= 24
    before = len(services.jobs())
    assert services.prefect("deployment", "run", "build-multitask-data/local", "--watch").returncode == 0
    assert len(services.jobs()) == before, "a second run submitted a job"


def test_cancelling_the_flow_run_stops_its_ray_job(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    """A job that would go on for hours."""
    annotated = services.prefect("deployment", "run", "annotate-corpus/local", "--watch")
    assert annotated.returncode == 0, annotated.stdout + annotated.stderr
    told = {"parents": False, "phases": ["reasoning"], "num_steps": {"reasoning": 1_000_000}}
    started = services.prefect("deployment", "run", "train-codec/local", "--params", json.dumps(told))
    assert started.returncode == 0, started.stderr
    run_id = started.stdout.split("UUID:")[1].split()[0]
    running = services.await_(lambda: [job for job in services.jobs() if job["status"] == "RUNNING"], timeout_s=240)
    (submission_id,) = {job["submission_id"] for job in running}
    assert services.prefect("flow-run", "cancel", run_id).returncode == 0
    asked = time.monotonic()

    def ended() -> str:
        (job,) = [job for job in services.jobs() if job["submission_id"] == submission_id]
        return "" if job["status"] in ("RUNNING", "PENDING") else str(job["status"])

    assert services.await_(ended, timeout_s=240) == "STOPPED"
    with capsys.disabled():
        print(f"\ncancelled {time.monotonic() - asked:.1f} s after it was asked for")
    services.await_(lambda: services.api(f"flow_runs/{run_id}")["state"]["type"] == "CANCELLED", timeout_s=120)


def test_up_twice_is_up_once(services: Services) -> None:
    again = services.uniaudio("up")
    assert again.returncode == 0
    assert "services are up" in again.stdout and "starting" not in again.stdout


def test_nothing_listens_beyond_loopback(services: Services) -> None:
    records = [json.loads(path.read_text()) for path in (services.data / "services").glob("*.json")]
    assert len(records) == 3
    started = [psutil.Process(record["pid"]) for record in records]
    family = [process for service in started for process in (service, *service.children(recursive=True))]
    listening = []
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # workers come and go
            connections = process.net_connections("inet")
            listening += [found.laddr for found in connections if found.status == psutil.CONN_LISTEN]
    assert len(listening) > 5
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
