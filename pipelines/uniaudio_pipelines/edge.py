"""Run one edge of the data flow: plan, work on the missing units, resume after any death, publish once.

Reads    the versions that the job's plan names
Writes   one version of `job.WRITES`: one shard a unit, put by the worker that made it

A unit is staged by its worker under the fencing token of the driver's lease, so that a unit is there once however
often a worker or a driver is killed: a driver that starts again works on the units that are not staged. An actor that
dies is replaced and its unit tried again.

Printed, for the flow that follows the log:
    raw_to_annotated 3/7 shards, 41 rows, 0.08 h audio, 12x real time, dropped {"too_short": 2}
    PROGRESS {"done": 3, "total": 7, "unit": "shards"}
    SUMMARY {"content_id": "…", "cpu_seconds": 31.2, "dropped": {"too_short": 2}, "hours": 0.17, "kind": "annotated", …}
"""

import argparse
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from uniaudio_schemas.errors import StoreError, UniaudioError
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.files import disk_errors
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio_pipelines import cluster
from uniaudio_pipelines.cost import log_cost
from uniaudio_pipelines.jobs import Job, job_from_json, job_to_json, parent
from uniaudio_pipelines.metering import Meter, Usage, usage

__all__ = ["Job", "ShardResult", "Worker", "edge_main", "job_from_json", "job_to_json", "parent", "run_edge"]

MAX_ATTEMPTS = 3
"""Times a unit is given to a worker before the edge gives up: one that kills three workers in a row is at fault
itself."""
_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What a worker makes of one unit."""

    rows: Any
    """Rows of the written kind, or an Arrow table of them."""
    dropped: list[Dropped] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    """Goes into the shard's schema metadata (fingerprints, numerics): the same for any run."""
    statistics: dict[str, float] = field(default_factory=dict)
    """Goes into the manifest, so no times or hosts. `audio_s` (seconds of audio in the rows) is counted in the
    summary."""
    blobs: tuple[bytes | Path | str, ...] = ()
    """Files the rows name by sha256: bytes or a path are put before the shard, a string is the sha256 of one that is
    there."""
    usage: tuple[Usage, ...] = ()
    """Of processes the worker started itself."""
    scratch: Path | None = None
    """A folder that goes once the unit is staged."""
    work: dict[str, float] = field(default_factory=dict)
    """What this run did, such as values computed and reused, seconds an annotator took: summed up in the summary and in the runs log,
    never in the manifest."""


class Worker(Protocol):
    def process(self, unit: str) -> ShardResult: ...


MakeWorker = Callable[[str, Any, Plan], Worker]
"""`make_worker(store_root, job, plan)`: builds a worker, models loaded; a module's top-level function or class."""


@dataclass(frozen=True, kw_only=True)
class _UnitReport:
    unit: str
    num_rows: int
    dropped: dict[str, int]
    audio_s: float
    usage: tuple[Usage, ...]
    work: dict[str, float]


class _Bench:
    """Where a worker sits: builds it, lets it process a unit, and puts the shard. Lives in an actor, or in the
    driver."""

    def __init__(self, make_worker: MakeWorker, store_root: str, job: Any, plan: Plan, token: int) -> None:
        self._make = lambda: make_worker(store_root, job, plan)
        self._writer = Store(store_root).shard_writer(plan, token)
        self._worker: Worker | None = None

    def process(self, unit: str) -> _UnitReport:
        # Built here and not in __init__: an exception in an actor's constructor would look like a lost process.
        self._worker = self._worker or self._make()
        # Workers keep temporary files there.
        with disk_errors(tempfile.gettempdir()):
            result = self._worker.process(unit)
        blobs = [blob if isinstance(blob, str) else self._writer.put_blob(blob) for blob in result.blobs]
        shard = self._writer.put_shard(
            unit, result.rows, result.dropped, result.metadata or None, result.statistics, blobs=blobs
        )
        if result.scratch is not None:
            shutil.rmtree(result.scratch, ignore_errors=True)
        return _UnitReport(
            unit=unit,
            num_rows=shard.num_rows,
            dropped=dict(shard.dropped),
            audio_s=result.statistics.get("audio_s", 0.0),
            usage=(usage(), *result.usage),
            work=result.work,
        )


class _Progress:
    """The lines of a run and the sums behind them."""

    def __init__(self, edge: str, num_units: int, num_done: int) -> None:
        self.edge, self.num_units, self.num_done = edge, num_units, num_done
        self.num_rows, self.audio_s = 0, 0.0
        self.dropped: Counter[str] = Counter()
        self.work: Counter[str] = Counter()
        self.attempts, self.num_workers = 0, 0
        self.meter = Meter()
        self.started = time.monotonic()

    def say(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def started_line(self) -> None:
        if self.num_done:
            self.say(f"{self.edge} continues: {self.num_done}/{self.num_units} shards are there already")
        self._progress()

    def finished(self, report: _UnitReport) -> None:
        self.num_done += 1
        self.num_rows += report.num_rows
        self.audio_s += report.audio_s
        self.dropped.update(report.dropped)
        self.work.update(report.work)
        for process in report.usage:
            self.meter.report(process)
        hours, speed = self.audio_s / 3600, self.audio_s / max(self.seconds, 1e-9)
        self.say(
            f"{self.edge} {self.num_done}/{self.num_units} shards, {self.num_rows} rows, {hours:.2f} h audio, "
            f"{speed:.0f}x real time, dropped {json.dumps(dict(sorted(self.dropped.items())))}"
        )
        self._progress()

    def _progress(self) -> None:
        self.say("PROGRESS " + json.dumps({"done": self.num_done, "total": self.num_units, "unit": "shards"}))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def run_edge(
    store: Store, job: Job, make_worker: MakeWorker, *, num_workers: int | None = None, owner: str = "driver"
) -> Manifest:
    """Bring the version that `job` plans into `store` and point `job.ref` at it; prints the lines above and logs the
    cost.

    `num_workers` None takes as many as the cluster holds; 0 works in this process, without Ray (small edges, tests,
    edges that drive Ray Train).
    """
    plan = job.plan(store)
    existing = store.version(plan.kind, plan.plan_id)
    progress = _Progress(job.EDGE, len(plan.units), 0)
    if existing is not None:
        store.point(plan.kind, job.ref, existing)
        progress.num_done = len(plan.units)
        _summarize(store, job, existing, progress, owner)
        return existing
    with store.writer(plan, owner=owner, ref=job.ref) as writer:
        done = writer.done()
        progress.num_done = len(done)
        progress.started_line()
        todo = [unit for unit in plan.units if unit not in done]
        if num_workers == 0:
            bench = _Bench(make_worker, str(store.root), job, plan, writer.token)
            for unit in todo:
                progress.attempts += 1
                progress.finished(bench.process(unit))
        elif todo:
            cluster.connect()
            count = num_workers or cluster.num_workers(job.resources(), at_most=len(todo))
            start = _starter(make_worker, str(store.root), job, plan, writer.token)
            progress.num_workers = min(count, len(todo))
            _work_through(todo, start, progress)
        manifest = writer.publish()
    _summarize(store, job, manifest, progress, owner)
    return manifest


def _starter(make_worker: MakeWorker, root: str, job: Job, plan: Plan, token: int) -> Callable[[], Any]:
    resources = job.resources()
    return lambda: cluster.actor(_Bench, resources, make_worker, root, job, plan, token)


def _work_through(todo: list[str], start: Callable[[], Any], progress: _Progress) -> None:
    """Give units to actors one at a time; a lost actor is replaced and its unit goes to the front of the queue."""
    queue, attempts = deque(todo), Counter[str]()
    running: dict[Any, tuple[Any, str]] = {}
    idle = [start() for _ in range(progress.num_workers)]
    try:
        while queue or running:
            while queue and idle:
                handle, unit = idle.pop(), queue.popleft()
                attempts[unit] += 1
                progress.attempts += 1
                running[handle.process.remote(unit)] = (handle, unit)
            for reference in cluster.first_ready(list(running), _POLL_S):
                handle, unit = running.pop(reference)
                try:
                    progress.finished(cluster.result(reference))
                    idle.append(handle)
                except cluster.WorkerLostError as error:
                    _check_attempts(unit, attempts[unit], error)
                    progress.say(f"{progress.edge} lost the worker of {unit} ({error}); trying again")
                    queue.appendleft(unit)
                    idle.append(start())
    finally:
        for handle in (*idle, *(handle for handle, _ in running.values())):
            cluster.kill(handle)


def _check_attempts(unit: str, num_attempts: int, error: Exception) -> None:
    if num_attempts >= MAX_ATTEMPTS:
        raise StoreError(f"Unit {unit} ended its worker {num_attempts} times, last: {error}") from error


def _summarize(store: Store, job: Job, manifest: Manifest, progress: _Progress, owner: str) -> None:
    summary = {
        "edge": job.EDGE,
        "kind": manifest.kind,
        "plan_id": manifest.plan_id,
        "content_id": manifest.content_id,
        "rows": manifest.num_rows,
        "hours": round(audio_seconds(manifest) / 3600, 4),
        "dropped": dict(sorted(manifest.dropped.items())),
        "shards": len(manifest.shards),
        "attempts": progress.attempts,
        "seconds": round(progress.seconds, 2),
        "cpu_seconds": round(progress.meter.cpu_seconds, 2),
        "peak_memory_bytes": progress.meter.peak_memory_bytes,
        "work": {name: round(value, 3) for name, value in sorted(progress.work.items())},
    }
    num_gpus = job.resources().get("num_gpus", 0.0) * progress.num_workers
    log_cost(store, owner, summary, num_gpus=num_gpus, worked_s=progress.audio_s)
    progress.say("SUMMARY " + json.dumps(summary, sort_keys=True))


def audio_seconds(manifest: Manifest) -> float:
    """Seconds of audio behind the rows of a version, as its shards' `audio_s` say."""
    return float(sum(shard.statistics.get("audio_s", 0.0) for shard in manifest.shards))


RunJob = Callable[[Store, Any, str], Any]
"""`run(store, job, owner)`: what an edge does with a job, where it is more than one `run_edge`."""


def edge_main(
    job_class: type[Any],
    make_worker: MakeWorker | None = None,
    *,
    num_workers: int | None = None,
    run: RunJob | None = None,
    arguments: list[str] | None = None,
) -> int:
    """Entry point of an edge's `__main__`: exit status 0, 2 after an error a user can read, 143 after SIGTERM, 130 after
    Ctrl-C. Either `make_worker` or `run` is given."""
    parser = argparse.ArgumentParser(
        prog=f"python -m uniaudio_pipelines.{job_class.EDGE}", description=job_class.__doc__
    )
    parser.add_argument("--store", required=True, help="root of the store")
    parser.add_argument("--job", default="{}", help="fields of the job as JSON; those left out take their defaults")
    parser.add_argument(
        "--run-id", default=f"{socket.gethostname()}-{os.getpid()}", help="owner of the lease, key of the runs log"
    )
    parser.add_argument(
        "--num-workers",
        type=int,
        default=num_workers,
        help="processes that share the work; 0: this one alone, without Ray",
    )
    options = parser.parse_args(arguments)
    try:
        job = job_from_json(job_class, options.job)
        with cluster.stoppable() as stopped, disk_errors(options.store):
            store = Store.from_uri(options.store)
            if run is not None:
                run(store, job, options.run_id)
            elif make_worker is not None:
                run_edge(store, job, make_worker, num_workers=options.num_workers, owner=options.run_id)
    except UniaudioError as error:
        sys.stdout.write(f"ERROR: {' '.join(str(error).split())}\n")
        return 2
    finally:
        sys.stdout.flush()
        cluster.disconnect()
    if stopped:
        sys.stdout.write(f"STOPPED {job_class.EDGE}: what is finished is kept, the next run continues from it\n")
        return 128 + stopped[0]
    return 0
