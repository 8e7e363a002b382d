"""Bring the version of one edge up to date: nothing where it is there, else a Ray job that is followed to its end.

What is shown: the job's log lines in the flow run's log, its progress, and at the end rows, hours, dropped rows by reason, and cost.
"""

import json
import logging
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from uniaudio_pipelines.jobs import Job, PointsMore
from uniaudio_schemas.errors import UniaudioError, UsageError
from uniaudio_schemas.pulse import pulse
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_flows.artifacts import Log, Shown
from uniaudio_flows.job_log import follow_log
from uniaudio_flows.ray_jobs import job_client, last_line, running_job, stop, submit
from uniaudio_flows.settings import Settings

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

FROM_A_WORKER = ("\x1b[36m(", "\x1b[33m(", "(")
"""How Ray marks lines of other processes in a driver's log; the driver says itself what a reader wants to know."""
OF_RAY = ("job_manager.py", "Running entrypoint for job")


class JobFailedError(UniaudioError):
    """The Ray job ended without its dataset version."""


def published(store: Store, job: Job, log: Log) -> Manifest | None:
    """The version that `job` plans where it is there already: its refs then point to it, and the log says that there is nothing to do."""
    plan = job.plan(store)
    version = store.version(plan.kind, plan.plan_id)
    if version is None:
        return None
    refs = {**(job.refs(store) if isinstance(job, PointsMore) else {}), job.ref: version}
    for ref, manifest in refs.items():
        head = store.head(plan.kind, ref)
        if head is None or head.plan_id != manifest.plan_id:
            store.point(plan.kind, ref, manifest)
    log.info("%s is up to date: %d rows (%s), nothing to do", plan.kind, version.num_rows, plan.plan_id[:8])
    return version


def check_up_to_date(store: Store, job: Job) -> None:
    """UsageError where `job` would have something to do, for a flow run that must not make its parents."""
    plan = job.plan(store)
    head = store.head(plan.kind, job.ref)
    if head is None or head.plan_id != plan.plan_id:
        raise UsageError(f"`{plan.kind}` is not up to date: run this flow with `parents=true`, or make it first.")


def bring_up_to_date(settings: Settings, job: Job, shown: Shown, log: Log, num_workers: int | None = None) -> Manifest:
    """Make the version that `job` plans, unless it is there. Returns its manifest. `num_workers`: most that share the work."""
    store = Store.from_uri(settings.store)
    version = published(store, job, log)
    if version is not None:
        shown.up_to_date(version)
        return version
    client = job_client(settings)
    running = running_job(client, settings, job)
    manifest = None
    if running:
        log.info("its Ray job runs already: following %s", running)
        # It may have begun before the parents changed, and then makes another version.
        manifest = _made_by(client, running, store, job, shown, log)
    if manifest is None:
        submission_id = submit(client, settings, job, log, num_workers)
        manifest = _made_by(client, submission_id, store, job, shown, log)
    if manifest is None:
        raise JobFailedError(f"{job.EDGE} ended, but what it should make is not in the store.")
    return manifest


def _made_by(
    client: "JobSubmissionClient", submission_id: str, store: Store, job: Job, shown: Shown, log: Log
) -> Manifest | None:
    """Follow a Ray job to its end; the version that `job` plans then, if it is there."""
    summary = _follow(client, submission_id, job.EDGE, shown, log)
    # Planned again: an edge of several stages is at its last one now.
    version = store.version(job.WRITES, job.plan(store).plan_id)
    if version is not None:
        shown.made(version, summary, job.EDGE)
    return version


def _with_pulse(lines: Iterator[str], edge: str, log: Log) -> Iterator[str]:
    """The lines; where none comes, the log says from time to time that the job is followed: workers start, weights are read."""
    with pulse(log.info, f"{edge} works on in silence") as pulsing:
        for line in lines:
            pulsing.beat()
            yield line


def _follow(client: "JobSubmissionClient", submission_id: str, edge: str, shown: Shown, log: Log) -> dict[str, Any]:
    """Follow the job to its end; returns its summary. Whatever ends the flow before that, short of SIGKILL, stops the job."""
    shown.progress(0.0)
    summary: dict[str, Any] = {}
    errors: list[str] = []
    try:
        for line in _with_pulse(follow_log(client, submission_id), edge, log):
            if line.startswith("PROGRESS "):
                state = json.loads(line.removeprefix("PROGRESS "))
                shown.progress(state["done"] / max(1, state["total"]))
            elif line.startswith("SUMMARY "):
                summary = json.loads(line.removeprefix("SUMMARY "))
            elif line.startswith("ERROR: "):
                errors.append(line.removeprefix("ERROR: "))
            elif line.strip() and not any(part in line for part in OF_RAY):
                log.log(logging.DEBUG if line.startswith(FROM_A_WORKER) else logging.INFO, "%s", line)
        status = client.get_job_status(submission_id)
    except BaseException:
        # Also for Prefect's TerminationSignal: cancelling the flow run cancels the job.
        stop(client, submission_id, log)
        raise
    if str(status) != "SUCCEEDED":
        raise JobFailedError(
            f"{edge}: {errors[-1] if errors else _reason(client.get_job_info(submission_id), str(status))}"
        )
    shown.progress(1.0)
    return summary


def _reason(details: Any, status: str) -> str:
    """Why a job ended that did not say it itself."""
    if details.driver_exit_code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return "its process was killed (SIGKILL), as the system does where memory is full"
    return last_line(details.message or "") or f"it ended as {status}"
