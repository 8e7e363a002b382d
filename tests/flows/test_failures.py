"""What dies in the middle of a run: the Ray head, the Prefect server, the flow's own process, the disk. Real processes, killed with SIGKILL."""

import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from uniaudio_schemas.store import Store

from tests.flows.conftest import Services

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(580)]


@pytest.fixture(scope="module")
def annotated(services: Services) -> Services:
    """Services whose next step, the training of a codec, is long enough to be shot at."""
    assert services.prefect("deployment", "run", "annotate-corpus/local", "--watch").returncode == 0
    return services


def start_training(services: Services) -> str:
    """Start `train-codec` and wait until its job trains; the id of the flow run."""
    started = services.prefect("deployment", "run", "train-codec/local", "-p", "parents=false")
    assert started.returncode == 0, started.stderr
    run_id = started.stdout.split("UUID:")[1].split()[0]
    services.await_(lambda: "RUNNING" in [job["status"] for job in services.jobs()], timeout_s=90)
    return run_id


def state_of(services: Services, run_id: str) -> dict[str, Any]:
    state: dict[str, Any] = services.api(f"flow_runs/{run_id}")["state"]
    return state


def ends_as(services: Services, run_id: str, timeout_s: float) -> dict[str, Any]:
    final = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    services.await_(lambda: state_of(services, run_id)["type"] in final, timeout_s)
    return state_of(services, run_id)


def run_log(services: Services, run_id: str) -> str:
    found = services.api("logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}})
    return "\n".join(line["message"] for line in found)


def kill(services: Services, name: str) -> None:
    """SIGKILL for a service and all its processes, at once."""
    record = json.loads((services.data / "services" / f"{name}.json").read_text())
    service = psutil.Process(record["pid"])
    for process in [service, *service.children(recursive=True)]:
        process.kill()
    service.wait(10)


def codec_is_whole(services: Services) -> None:
    store = Store(services.data / "store")
    head = store.head("codec")
    assert head is not None
    assert head.num_rows == 1
    store.verify(head)


def test_a_killed_flow_process_started_again_finds_its_job_and_follows_on(annotated: Services) -> None:
    run_id = start_training(annotated)
    (flow,) = [p for p in psutil.process_iter(["environ"]) if _is_flow(p, run_id)]
    flow.send_signal(signal.SIGKILL)
    assert ends_as(annotated, run_id, 30)["name"] == "Crashed"
    running = [job["submission_id"] for job in annotated.jobs() if job["status"] == "RUNNING"]
    assert len(running) == 1, "the job did not outlive its flow"
    again = annotated.prefect("deployment", "run", "train-codec/local", "-p", "parents=false", "--watch")
    assert again.returncode == 0, again.stdout
    training = [job["submission_id"] for job in annotated.jobs() if job["metadata"]["edge"] == "annotated_to_codec"]
    assert training == running, "a second job was submitted"
    codec_is_whole(annotated)
    _forget_codec(annotated)


def test_a_killed_prefect_server_does_not_stop_the_work(annotated: Services) -> None:
    run_id = start_training(annotated)
    kill(annotated, "prefect-server")
    time.sleep(3)
    assert "RUNNING" in [job["status"] for job in annotated.jobs()]
    assert annotated.uniaudio("up").returncode == 0
    annotated.await_(lambda: Store(annotated.data / "store").head("codec") is not None, timeout_s=180)
    assert ends_as(annotated, run_id, 60)["name"] == "Completed"
    codec_is_whole(annotated)
    _forget_codec(annotated)


def test_services_stopped_in_mid_run_and_started_again_take_the_next_run(annotated: Services) -> None:
    run_id = start_training(annotated)
    assert annotated.uniaudio("down").returncode == 0
    assert annotated.uniaudio("up").returncode == 0
    assert state_of(annotated, run_id)["name"] == "Crashed"
    again = annotated.prefect("deployment", "run", "train-codec/local", "-p", "parents=false", "--watch")
    assert again.returncode == 0, again.stdout
    codec_is_whole(annotated)
    _forget_codec(annotated)


def test_a_dead_ray_head_is_one_line_and_the_next_run_goes_on(annotated: Services) -> None:
    run_id = start_training(annotated)
    kill(annotated, "ray")
    state = ends_as(annotated, run_id, 180)
    assert state["name"] == "Failed"
    assert "no Ray head answers" in state["message"], "it was tried again, and given up"
    assert "Traceback" not in run_log(annotated, run_id)
    assert annotated.uniaudio("up").returncode == 0
    again = annotated.prefect("deployment", "run", "train-codec/local", "-p", "parents=false", "--watch")
    assert again.returncode == 0, again.stdout
    codec_is_whole(annotated)


def test_a_full_disk_is_one_line_and_the_next_run_with_room_goes_on(annotated: Services, small_disk: Path) -> None:
    """The store on a file system of 4 MiB."""
    job = json.dumps({"source": str(annotated.data / "source")})
    command = [
        sys.executable,
        "-m",
        "uniaudio_pipelines.source_to_raw",
        "--store",
        str(small_disk / "store"),
        "--job",
        job,
    ]
    (small_disk / "ballast").write_bytes(bytes(4 * 2**20 - 100_000))
    full = annotated.run(command)
    assert full.returncode == 2, full.stdout
    assert "no space left" in full.stdout
    assert "Traceback" not in full.stdout + full.stderr
    (small_disk / "ballast").unlink()
    assert annotated.run(command).returncode == 0
    raw = Store(small_disk / "store").head("raw")
    assert raw is not None
    assert raw.num_rows == 12


def _is_flow(process: psutil.Process, run_id: str) -> bool:
    environment = process.info["environ"] or {}
    return environment.get("PREFECT__FLOW_RUN_ID", "").replace("-", "") == run_id.replace("-", "") and any(
        "prefect" in part for part in process.cmdline()
    )


def _forget_codec(services: Services) -> None:
    """So that the next test trains again."""
    shutil.rmtree(services.data / "store" / "codec")
    shutil.rmtree(services.data / "store" / "train", ignore_errors=True)
