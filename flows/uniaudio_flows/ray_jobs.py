"""Ray's job client, as flows use it: submit the job of an edge, find one that runs already, stop it.

The submission id is `<plan id>-<attempt>`, so a flow that was killed and started again finds its job and follows on.
"""

import json
import os
import shlex
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
from uniaudio_pipelines.jobs import Job
from uniaudio_pipelines.running.cluster import environment_of_run
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store import Store

from uniaudio_flows.artifacts import Log
from uniaudio_flows.settings import Settings

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

POLL_S = 1.0
AGENT_TIMEOUT_S = 60
SUBMITTED_BY = "flow_run"


class NoHeadError(UsageError):
    """No Ray head answers."""


def job_client(settings: Settings) -> "JobSubmissionClient":
    """NoHeadError where none answers."""
    from ray.job_submission import JobSubmissionClient  # here: a run that has nothing to do needs no Ray

    try:
        return JobSubmissionClient(settings.dashboard_url)
    except (ConnectionError, RuntimeError) as error:
        raise NoHeadError(f"no Ray head answers at {settings.dashboard_url}: start it with `uniaudio up`.") from error


def running_job(client: "JobSubmissionClient", settings: Settings, job: Job) -> str | None:
    """The id of an unfinished job that does the same in the same store: a flow that was killed left it."""
    described = _described(settings, job)
    for details in client.list_jobs():
        metadata = details.metadata or {}
        if described.items() <= metadata.items() and not details.status.is_terminal():
            return str(details.submission_id)
    return None


def submit(
    client: "JobSubmissionClient", settings: Settings, job: Job, log: Log, num_workers: int | None = None
) -> str:
    """Returns the id of the new job: plan id and attempt. UsageError where the head takes none."""
    plan_id = job.plan(Store.from_uri(settings.store)).plan_id
    described = _described(settings, job)
    num_attempts = sum((details.submission_id or "").startswith(f"{plan_id}-") for details in client.list_jobs())
    submission_id = f"{plan_id}-{num_attempts + 1}"
    log.info("making %s (%s): Ray job %s/#/jobs/%s", job.WRITES, plan_id[:8], client.get_address(), submission_id)
    # A cluster has its own Python; this machine's lies in `.venv`.
    python = "python" if settings.ray_address else sys.executable
    command = [python, "-m", f"uniaudio_pipelines.{job.EDGE}", "--store", settings.store]
    command += ["--job", described["fields"], "--run-id", submission_id]
    command += [] if num_workers is None else ["--num-workers", str(num_workers)]
    deadline = time.monotonic() + AGENT_TIMEOUT_S
    while True:
        try:
            client.submit_job(
                entrypoint=shlex.join(command),
                submission_id=submission_id,
                runtime_env={"env_vars": _environment(settings)},
                metadata={**described, SUBMITTED_BY: _flow_run_id()},
            )
            break
        except RuntimeError as error:
            # The dashboard of a fresh head answers some seconds before the agent that starts jobs.
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise UsageError(f"the Ray head takes no job: {last_line(str(error))}") from error
            time.sleep(POLL_S)
    return submission_id


def stop(client: "JobSubmissionClient", submission_id: str, log: Log) -> None:
    """Stop the job, unless it belongs to another flow run that goes on."""
    try:
        metadata = client.get_job_info(submission_id).metadata or {}
        if _is_unfinished(metadata.get(SUBMITTED_BY, "")):
            log.warning("the Ray job %s goes on for the flow run that submitted it", submission_id)
            return
        client.stop_job(submission_id)
    except (ConnectionError, RuntimeError, OSError) as error:
        log.warning("the Ray job %s could not be stopped: %s", submission_id, error)
    else:
        log.warning("stopped the Ray job %s", submission_id)


def last_line(message: str) -> str:
    """Empty where there is none."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _environment(settings: Settings) -> dict[str, str]:
    """What the run was told, not what the head was started with."""
    return {
        **environment_of_run(),
        "UNIAUDIO_DATA": str(settings.data),
        "UNIAUDIO_STORE": settings.store,
        "UNIAUDIO_SOURCE": str(settings.source),
        "UNIAUDIO_MODELS": str(settings.models),
        **{name: os.environ[name] for name in ("RAY_AUTH_MODE",) if name in os.environ},
        "PYTHONUNBUFFERED": "1",
        # Threads that wait for each other sleep; spinning on shared cores made training six times slower.
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def _described(settings: Settings, job: Job) -> dict[str, str]:
    """Metadata by which a job is found again. The plan is not in it, since an edge of several stages is at a later plan by then."""
    fields = json.dumps(asdict(job), sort_keys=True)
    return {"job_name": job.EDGE, "edge": job.EDGE, "store": settings.store, "fields": fields}


def _flow_run_id() -> str:
    """Id of the flow run that the worker started, which is the run that a user cancels."""
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
