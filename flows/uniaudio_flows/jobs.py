"""Run one edge as a Ray job from a flow: submit, follow, show, cancel.

The submission id is `<plan id>-<attempt>`, so a flow that was killed and started again finds its job and follows on. What is shown: the job's
log lines in the flow run's log, a progress artifact, and at the end a table artifact with rows, hours, dropped rows by reason, and cost.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
from uniaudio_schemas.errors import StoreError, UniaudioError, UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_flows.artifacts import Artifacts, Log
from uniaudio_flows.settings import Settings, load_settings

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

POLL_S = 1.0
AGENT_TIMEOUT_S = 60
FROM_A_WORKER = ("\x1b[36m(", "\x1b[33m(", "(")
"""How Ray marks lines of other processes in a driver's log; the driver says itself what a reader wants to know."""
SUBMITTED_BY = "flow_run"
OF_RAY = ("job_manager.py", "Running entrypoint for job")
PASSED_ON = ("UNIAUDIO_DATA", "UNIAUDIO_STORE", "UNIAUDIO_SOURCE", "UNIAUDIO_MODELS", "RAY_AUTH_MODE")


class JobFailedError(UniaudioError):
    """The Ray job ended without its dataset version."""


def published(job: Any, log: Log) -> Manifest | None:
    """The version that `job` plans where it is there already: its refs then point to it, and the log says that there is nothing to do."""
    store = Store.from_uri(load_settings().store)
    plan = job.plan(store)
    found = store.version(plan.kind, plan.plan_id)
    if found is None:
        return None
    refs = {**(job.refs(store) if hasattr(job, "refs") else {}), job.ref: found}
    for ref, manifest in refs.items():
        head = store.head(plan.kind, ref)
        if head is None or head.plan_id != manifest.plan_id:
            store.point(plan.kind, ref, manifest)
    log.info("%s is up to date: %d rows (%s), nothing to do", plan.kind, found.num_rows, plan.plan_id[:8])
    return found


def check_up_to_date(job: Any) -> None:
    """For a flow run that is not to make its parents: UsageError where `job` would have something to do."""
    store = Store.from_uri(load_settings().store)
    plan = job.plan(store)
    head = store.head(plan.kind, job.ref)
    if head is None or head.plan_id != plan.plan_id:
        raise UsageError(f"`{plan.kind}` is not up to date: run this flow with `parents=true`, or make it first.")


def bring_up_to_date(job: Any, log: Log) -> Manifest:
    """Make the version that `job` plans, unless it is there. Returns its manifest."""
    found = published(job, log)
    if found is not None:
        return found
    settings = load_settings()
    client = _client(settings)
    running = _running(client, settings, job)
    made = None
    if running:
        log.info("its Ray job runs already: following %s", running)
        # It may have begun before the parents changed, and then makes another version.
        made = _made_by(client, running, job, log)
    if made is None:
        made = _made_by(client, _submit(client, settings, job, log), job, log)
    if made is None:
        raise JobFailedError(f"{job.EDGE} ended, but what it should make is not in the store.")
    return made


def _made_by(client: "JobSubmissionClient", submission_id: str, job: Any, log: Log) -> Manifest | None:
    """Follow a Ray job to its end; the version that `job` plans then, if it is there."""
    artifacts = Artifacts(job.WRITES, log)
    summary = _follow(client, submission_id, artifacts, log)
    store = Store.from_uri(load_settings().store)
    # Planned again: an edge of several stages is at its last one now.
    made = store.version(job.WRITES, job.plan(store).plan_id)
    if made is not None:
        artifacts.result(made, summary, job.EDGE)
    return made


def _client(settings: Settings) -> "JobSubmissionClient":
    from ray.job_submission import JobSubmissionClient  # here: a run that has nothing to do needs no Ray

    try:
        return JobSubmissionClient(settings.dashboard_url)
    except (ConnectionError, RuntimeError) as error:
        raise UsageError(f"no Ray head answers at {settings.dashboard_url}: start it with `uniaudio up`.") from error


def _described(settings: Settings, job: Any) -> dict[str, str]:
    """By which a job is found again: not by its plan, since an edge of several stages is at a later plan by then."""
    fields = json.dumps(asdict(job), sort_keys=True)
    return {"job_name": job.EDGE, "edge": job.EDGE, "store": settings.store, "fields": fields}


def _running(client: "JobSubmissionClient", settings: Settings, job: Any) -> str | None:
    """The id of an unfinished job that does the same in the same store: a flow that was killed left it."""
    described = _described(settings, job)
    for details in client.list_jobs():
        said = details.metadata or {}
        if described.items() <= said.items() and not details.status.is_terminal():
            return str(details.submission_id)
    return None


def _submit(client: "JobSubmissionClient", settings: Settings, job: Any, log: Log) -> str:
    """Returns the id of the new job: plan id and attempt."""
    plan_id = job.plan(Store.from_uri(settings.store)).plan_id
    described = _described(settings, job)
    num_attempts = sum((details.submission_id or "").startswith(f"{plan_id}-") for details in client.list_jobs())
    submission_id = f"{plan_id}-{num_attempts + 1}"
    log.info("making %s (%s): Ray job %s/#/jobs/%s", job.WRITES, plan_id[:8], client.get_address(), submission_id)
    # A cluster has its own Python; this machine's lies in `.venv`.
    python = "python" if settings.ray_address else sys.executable
    command = [python, "-m", f"uniaudio_pipelines.{job.EDGE}", "--store", settings.store]
    command += ["--job", described["fields"], "--run-id", submission_id]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    # PASSIVE: threads that wait for each other sleep; spinning on shared cores made training six times slower.
    job_environment = {**environment, "PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    deadline = time.monotonic() + AGENT_TIMEOUT_S
    while True:
        try:
            client.submit_job(
                entrypoint=_quote(command),
                submission_id=submission_id,
                runtime_env={"env_vars": job_environment},
                metadata={**described, SUBMITTED_BY: _flow_run_id()},
            )
            break
        except RuntimeError as error:
            # The dashboard of a fresh head answers some seconds before the agent that starts jobs.
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise UsageError(f"the Ray head takes no job: {_last_line(str(error))}") from error
            time.sleep(POLL_S)
    return submission_id


def _follow(client: "JobSubmissionClient", submission_id: str, artifacts: Artifacts, log: Log) -> dict[str, Any]:
    """Follow the job to its end; returns its summary. Whatever ends the flow before that, short of SIGKILL, stops the job."""
    artifacts.progress(0.0)
    summary: dict[str, Any] = {}
    errors: list[str] = []
    try:
        for line in _lines(client, submission_id):
            if line.startswith("PROGRESS "):
                state = json.loads(line.removeprefix("PROGRESS "))
                artifacts.progress(state["done"] / max(1, state["total"]))
            elif line.startswith("SUMMARY "):
                summary = json.loads(line.removeprefix("SUMMARY "))
            elif line.startswith("ERROR: "):
                errors.append(line.removeprefix("ERROR: "))
            elif line.strip() and not any(part in line for part in OF_RAY):
                log.log(logging.DEBUG if line.startswith(FROM_A_WORKER) else logging.INFO, "%s", line)
        status = client.get_job_status(submission_id)
    except BaseException:
        # Also for Prefect's TerminationSignal: cancelling the flow run cancels the job.
        _stop(client, submission_id, log)
        raise
    if str(status) != "SUCCEEDED":
        info = client.get_job_info(submission_id)
        reason = errors[-1] if errors else _last_line(info.message or "") or f"it ended as {status}"
        raise JobFailedError(f"{info.metadata['edge'] if info.metadata else artifacts.kind}: {reason}")
    artifacts.progress(1.0)
    return summary


def _lines(client: "JobSubmissionClient", submission_id: str) -> Iterator[str]:
    """The job's log lines as they come, until it ends. An unreachable head is tried for 20 s."""
    num_read = 0
    lost_since: float | None = None
    while True:
        try:
            ended = client.get_job_status(submission_id).is_terminal()
            text = client.get_job_logs(submission_id)
            lost_since = None
        except (ConnectionError, RuntimeError, OSError) as error:
            lost_since = lost_since or time.monotonic()
            if time.monotonic() - lost_since > 20:
                raise StoreError(
                    "the Ray head does not answer any more; start it with `uniaudio up` and run this flow again: finished shards are kept."
                ) from error
            time.sleep(2 * POLL_S)
            continue
        complete = text if ended else text[: text.rfind("\n") + 1]
        yield from complete[num_read:].splitlines()
        num_read = len(complete)
        if ended:
            return
        time.sleep(POLL_S)


def _stop(client: "JobSubmissionClient", submission_id: str, log: Log) -> None:
    """Stop the job, unless it belongs to another flow run that goes on."""
    try:
        said = client.get_job_info(submission_id).metadata or {}
        if _is_unfinished(said.get(SUBMITTED_BY, "")):
            log.warning("the Ray job %s goes on for the flow run that submitted it", submission_id)
            return
        client.stop_job(submission_id)
    except (ConnectionError, RuntimeError, OSError) as error:
        log.warning("the Ray job %s could not be stopped: %s", submission_id, error)
    else:
        log.warning("stopped the Ray job %s", submission_id)


def _flow_run_id() -> str:
    """Of the run that the worker started: it is what a user cancels, whichever subflow submits."""
    from prefect.runtime import flow_run

    return str(flow_run.root_flow_run_id or "")


def _is_unfinished(flow_run_id: str) -> bool:
    """Whether a flow run other than this one goes on."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    if flow_run_id in ("", _flow_run_id()):
        return False
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(flow_run_id)).state
    except (ObjectNotFound, httpx.HTTPError):
        return False
    return state is not None and not state.is_final()


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _quote(command: list[str]) -> str:
    import shlex

    return " ".join(shlex.quote(part) for part in command)
