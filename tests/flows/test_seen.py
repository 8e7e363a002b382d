"""What whoever watches a run sees, on a real Prefect server and a real Ray head: names, progress, tables, reasons, and whose settings count."""

import json
import os
import re
import shlex
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

import pytest
from uniaudio_pipelines.jobs import job_to_json
from uniaudio_pipelines.running.edge import ShardResult
from uniaudio_schemas.store import Store

from tests.flows.conftest import Services
from tests.flows.test_pools import AUTOMATION, FILE, POOLS, ROOT
from tests.pipelines.counting import Count, CountWorker
from tests.pipelines.test_gauges import QUERIED

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(900)]

SAVE_BLOCK = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
block = CustomWebhookNotificationBlock(name="told", url=sys.argv[1], json_data={"subject": "{{subject}}", "body": "{{body}}"})
print("BLOCK", block.save("told", overwrite=True))
"""


def run_of(services: Services, name: str, *arguments: str) -> dict[str, Any]:
    """The flow run of a deployment, at its end. Whoever watches one that failed has read the reason."""
    done = services.prefect("deployment", "run", f"{name}/local", *arguments, "--watch")
    found = re.search(r"UUID: (\S+)", done.stdout)
    assert found, done.stdout + done.stderr
    run: dict[str, Any] = services.api(f"flow_runs/{found[1]}")
    if run["state"]["type"] == "FAILED":  # a terminal breaks long lines
        assert "".join(run["state"]["message"].split()) in "".join(done.stdout.split())
    return run


def artifacts_of(services: Services, run: dict[str, Any]) -> dict[str, Any]:
    """Key -> data, of all that lie on the run itself."""
    found = services.api("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}})
    return {each["key"]: json.loads(each["data"]) if isinstance(each["data"], str) else each["data"] for each in found}


@contextmanager
def listening() -> Iterator[tuple[str, "Queue[dict[str, str]]"]]:
    """An address on loopback, and what is posted to it."""
    told: Queue[dict[str, str]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/told", told
    finally:
        server.shutdown()


def test_a_run_shows_the_whole_way_its_edges_and_what_they_made(services: Services) -> None:
    run = run_of(services, "annotate-corpus", "-p", "max_sound_clip_s=0.4", "-p", 'ingest_corpus={"min_s": 0.2}')
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert (run["name"], run["tags"]) == ("annotated latest", ["annotated"])
    shown = artifacts_of(services, run)
    assert {key: data for key, data in shown.items() if key.endswith("progress")} == {
        "raw-progress": 100.0, "annotated-progress": 100.0, "annotate-corpus-progress": 100.0,
    }  # fmt: skip
    assert [(row["kind"], row["state"]) for row in shown["annotate-corpus-result"]] == [
        ("raw", "made"),
        ("annotated", "made"),
    ]
    assert shown["annotated-result"][0]["rows"] == shown["annotate-corpus-result"][1]["rows"] >= 24, (
        "clips of 1 s in pieces of 0.4 s"
    )
    tasks = services.api("task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}})
    assert sorted((task["name"], task["tags"], task["state"]["type"]) for task in tasks) == [
        ("annotated", ["annotated"], "COMPLETED"), ("raw", ["raw"], "COMPLETED"),
    ]  # fmt: skip
    (raw,) = [version for version in Store(services.data / "store").versions("raw")]
    assert raw.parameters["min_s"] == 0.2, "the field of a step before it"


def test_a_failed_run_says_why_and_somebody_is_told(services: Services) -> None:
    with listening() as (url, told):
        saved = services.run([sys.executable, "-c", SAVE_BLOCK, url])
        assert "BLOCK " in saved.stdout, saved.stderr
        automation = services.data / "automation.yaml"
        text = AUTOMATION.read_text()
        automation.write_text(re.sub(r"0{8}-[0-]*0{12}", saved.stdout.split("BLOCK ")[1].strip(), text))
        created = services.prefect("automation", "create", "--from-file", str(automation))
        assert created.returncode == 0, created.stdout + created.stderr
        run = run_of(services, "annotate-corpus", "-p", "source=/none/there")
        assert run["state"]["name"] == "Failed"
        assert "`source` must be a folder" in run["state"]["message"] and "\n" not in run["state"]["message"]
        ((row,),) = [data for key, data in artifacts_of(services, run).items() if key == "annotate-corpus-result"]
        assert row["state"] == f"failed: {run['state']['message']}"
        notice = told.get(timeout=120)
    assert notice["subject"] == "annotate-corpus Failed"
    assert notice["body"].startswith(f"annotated latest: {run['state']['message']}") and run["id"] in notice["body"]


def test_a_job_that_fails_gives_its_own_line_as_the_reason(services: Services) -> None:
    """The edge finds out, not the plan: the worker looks for a model that is not there."""
    run = run_of(
        services,
        "annotate-corpus",
        "-p",
        'annotators=["ast_tags"]',
        "-p",
        "models=/none/there",
        "-p",
        "source_limits=false",
    )
    (job,) = [job for job in services.jobs() if job["status"] == "FAILED"]
    assert run["state"]["name"] == "Failed"
    assert run["state"]["message"].startswith("raw_to_annotated: ") and "\n" not in run["state"]["message"]
    assert "/none/there" in run["state"]["message"], job["message"]


@pytest.mark.parametrize("how", ["parameters", "environment"])
def test_a_run_has_the_folders_that_it_is_told_and_not_those_of_the_services(services: Services, how: str) -> None:
    other = services.data / how
    source = str(services.data / "source")
    if how == "parameters":
        told = ["-p", f"store={other / 'store'}", "-p", f"source={source}"]
    else:
        told = ["-jv", "env=" + json.dumps({"UNIAUDIO_DATA": str(other), "UNIAUDIO_SOURCE": source})]
    run = run_of(services, "ingest-corpus", *told, "-p", "ref=mine")
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert run["name"] == "raw mine"
    made = Store(other / "store").head("raw", "mine")
    assert made is not None and made.num_rows == 12
    assert Store(services.data / "store").head("raw", "mine") is None


def test_whoever_follows_a_run_in_a_terminal_runs_it_in_his_own_store(services: Services) -> None:
    services.environment["UNIAUDIO_STORE"] = str(services.data / "terminal")
    try:
        made = services.uniaudio("make", "raw")
        assert made.returncode == 0, made.stdout + made.stderr
    finally:
        del services.environment["UNIAUDIO_STORE"]
    assert Store(services.data / "terminal").head("raw") is not None


def test_a_value_that_is_none_of_the_choices_is_refused_by_the_server(services: Services) -> None:
    refused = services.prefect("deployment", "run", "ingest-corpus/local", "-p", "channels=both")
    assert refused.returncode != 0
    assert "'both' is not one of" in refused.stdout + refused.stderr


def test_a_real_server_takes_the_deployments_of_every_pool(services: Services) -> None:
    """It checks the variables of each against the template of its pool."""
    template = ["--base-job-template", str(ROOT / "infra/prefect/kubernetes.json")]
    services.environment["UNIAUDIO_SOURCE"] = str(services.data / "source")
    for pool, more in (("docker", []), ("kubernetes", template)):
        made = services.prefect("work-pool", "create", pool, "--type", pool, *more)
        assert made.returncode == 0, made.stdout + made.stderr
        deployed = services.prefect("--no-prompt", "deploy", "-n", pool, "--prefect-file", str(FILE))
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    del services.environment["UNIAUDIO_SOURCE"]
    found = services.api("deployments/filter", {"limit": 100})
    assert Counter(each["work_pool_name"] for each in found) == dict.fromkeys(POOLS, 12)  # flows
    assert all(each["parameter_openapi_schema"]["properties"] and each["tags"] for each in found)
    docker = next(each for each in found if each["work_pool_name"] == "docker")
    assert f"{services.data / 'source'}:/data/source:ro" in docker["job_variables"]["volumes"]


class EncodingWorker(CountWorker):
    """One that says what it encoded."""

    def process(self, unit: str) -> ShardResult:
        work = {"encoded_samples": 125.0, "given_samples": 100.0, "encode_seconds": 1.0, "wall_seconds": 2.0}
        return replace(super().process(unit), work=work)


COUNT = """
import sys
from uniaudio_pipelines.running.edge import edge_main
from tests.flows.test_seen import Count, EncodingWorker
sys.exit(edge_main(Count, EncodingWorker, num_workers=1))
"""


def test_every_metric_of_the_dashboard_is_where_prometheus_finds_it(services: Services) -> None:
    """While an edge works, at one of the ports that Ray's dashboard lists."""
    from ray.job_submission import JobSubmissionClient

    job = job_to_json(Count(num_units=90, seconds_a_unit=1.0))
    command = [sys.executable, "-c", COUNT, "--store", str(services.data / "counted"), "--job", job]
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}}
    client = JobSubmissionClient(services.dashboard, headers=services.with_token)
    submitted = client.submit_job(entrypoint=shlex.join(command), runtime_env=environment)
    try:
        told = services.await_(lambda: metrics_of(services), timeout_s=300)
    finally:
        client.stop_job(submitted)
    assert all('edge="counting"' in labels and re.search(r'plan="[0-9a-f]{8}"', labels) for labels, _ in told.values())
    values = {name.removeprefix("ray_uniaudio_"): value for name, (_, value) in told.items()}
    assert values["shards_total"] == 90 and 1 <= values["shards_done"] <= 90
    assert values["rows"] == 2 * values["shards_done"] == 4 * values["audio_hours"]
    assert (values["busy_share"], values["padding_share"]) == pytest.approx((0.5, 0.2))
    assert values["hours_per_hour"] > 10
    labels, dropped = told["ray_uniaudio_dropped_rows"]
    assert 'reason="odd"' in labels and dropped == values["shards_done"]


def metrics_of(services: Services) -> dict[str, tuple[str, float]]:
    """Name -> labels and value of those that the dashboard queries; empty until all are told."""
    path = re.search(r"8265(/\S+)", (ROOT / "infra/dashboards/prometheus.yaml").read_text())
    assert path
    targets = [target for group in json.loads(services.at_dashboard(path[1])) for target in group["targets"]]
    assert targets and all(target.startswith("127.0.0.1:") for target in targets)
    texts = "\n".join(text_at(f"http://{target}/metrics") for target in targets)
    found = re.findall(r'^(ray_uniaudio_\w+){(.*edge="counting".*)} (\S+)$', texts, re.M)
    told = {name: (labels, float(value)) for name, labels, value in found}
    # The edge that is run here does not train.
    return told if told.keys() == QUERIED - {"ray_uniaudio_training"} else {}


def text_at(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())
