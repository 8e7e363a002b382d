"""Run one edge of the data flow: plan, work on the missing units, resume after any death, publish once.

Reads    the versions that the job's plan names
Writes   one version of `job.WRITES`: one shard a unit, put by the worker that made it

A unit is staged by its worker under the fencing token of the driver's lease, so that a unit is there once however
often a worker or a driver is killed: a driver that starts again works on the units that are not staged. START HERE, then `bench.py`
(where a worker sits), `pool.py` (how units are given out), `hand.py` (what follows from a worker's death).

Printed, for the flow that follows the log:
    raw_to_annotated 3/7 shards, 41 rows, 4.8 min audio, 12x real time, dropped {"too_short": 2}
    PROGRESS {"done": 3, "total": 7, "unit": "shards"}
    SUMMARY {"content_id": "…", "cpu_seconds": 31.2, "dropped": {"too_short": 2}, "hours": 0.17, "kind": "annotated", …}
"""

import argparse
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from uniaudio_schemas.durations import spoken
from uniaudio_schemas.errors import UniaudioError, UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.files import disk_errors
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio_pipelines.jobs import Job, job_from_json, job_to_json, parent
from uniaudio_pipelines.running import cluster
from uniaudio_pipelines.running.bench import Bench, MakeWorker, ShardResult, UnitReport, Worker, marked
from uniaudio_pipelines.running.cost import log_cost
from uniaudio_pipelines.running.gauges import Gauges, shares
from uniaudio_pipelines.running.hand import Hand, Losses
from uniaudio_pipelines.running.metering import Meter
from uniaudio_pipelines.running.pool import Pool

__all__ = ["Hand", "Job", "ShardResult", "Worker", "edge_main", "job_from_json", "job_to_json", "parent", "run_edge"]


class _Progress:
    """The lines of a run and the sums behind them."""

    def __init__(self, edge: str, plan: Plan) -> None:
        self.edge, self.num_units, self.num_done = edge, len(plan.units), 0
        self.gauges = Gauges(edge, plan.plan_id)
        self.num_rows, self.audio_s = 0, 0.0
        self.dropped: Counter[str] = Counter()
        self.work: Counter[str] = Counter()
        self.attempts, self.worker_seconds = 0, 0.0
        self.meter = Meter()
        self.started = time.monotonic()

    def say(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def told(self, line: str) -> None:
        """What happens to the workers."""
        self.say(f"{self.edge} {line}")

    def started_line(self) -> None:
        if self.num_done:
            self.say(f"{self.edge} continues: {self.num_done}/{self.num_units} shards are there already")
        self._progress()

    def finished(self, report: UnitReport) -> None:
        self.num_done += 1
        self.num_rows += report.num_rows
        self.audio_s += report.audio_s
        self.dropped.update(report.dropped)
        self.work.update(report.work)
        for process in report.usage:
            self.meter.report(process)
        hours, speed = self.audio_s / 3600, self.audio_s / max(self.seconds, 1e-9)
        self.say(
            f"{self.edge} {self.num_done}/{self.num_units} shards, {self.num_rows} rows, {spoken(self.audio_s)} audio, "
            f"{speed:.0f}x real time, dropped {json.dumps(dict(sorted(self.dropped.items())))}"
        )
        self.gauges.tell(
            {
                "shards_total": self.num_units,
                "shards_done": self.num_done,
                "rows": self.num_rows,
                "audio_hours": hours,
                "hours_per_hour": speed,
                **shares(self.work),
            },
            self.dropped,
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

    `num_workers`: at most so many, None: one for each unit, as the cluster has room or grows; 0 works in this process, without Ray (small edges, tests,
    edges that drive Ray Train).
    """
    if num_workers is not None and num_workers < 0:
        raise UsageError(f"`num_workers` must be 0 or more, but is {num_workers}.")
    plan = job.plan(store)
    existing = store.version(plan.kind, plan.plan_id)
    progress = _Progress(job.EDGE, plan)
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
            _work_here(Bench(make_worker, str(store.root), job, plan, writer.token), todo, progress)
        elif todo:
            cluster.connect()
            limit = num_workers or len(todo)
            if cluster.is_private():
                limit = min(limit, cluster.num_workers(job.resources(), at_most=limit))
            workers = cluster.RayWorkers(Bench, job.resources(), make_worker, str(store.root), job, plan, writer.token)
            _work_on(
                Pool(workers, Losses(partial(marked, store, plan)), limit=limit, say=progress.told), todo, progress
            )
        manifest = writer.publish()
    _summarize(store, job, manifest, progress, owner)
    return manifest


def _work_here(bench: Bench, todo: list[str], progress: _Progress) -> None:
    try:
        for unit in todo:
            progress.attempts += 1
            progress.finished(bench.process(unit))
    finally:
        bench.close()


def _work_on(pool: Pool, todo: list[str], progress: _Progress) -> None:
    try:
        for report in pool.work(todo):
            progress.finished(report)
    finally:
        progress.attempts, progress.worker_seconds = pool.attempts, pool.worker_seconds


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
    gpu_seconds = job.resources().get("num_gpus", 0.0) * progress.worker_seconds
    log_cost(store, owner, summary, gpu_seconds=gpu_seconds, worked_s=progress.audio_s)
    progress.say("SUMMARY " + json.dumps(summary, sort_keys=True))


def audio_seconds(manifest: Manifest) -> float:
    """Seconds of audio behind the rows of a version, as its shards' `audio_s` say."""
    return float(sum(shard.statistics.get("audio_s", 0.0) for shard in manifest.shards))


RunJob = Callable[..., Any]
"""`run(store, job, owner)`: what an edge does with a job, where it is more than one `run_edge`. Where the job does not say how many
workers there are, `run` takes `num_workers` as `run_edge` does."""


def edge_main(
    job_class: type[Job],
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
    is_shared = "num_workers" not in job_class.__dataclass_fields__
    if is_shared:
        help_text = "processes that share the work at most; 0: this one alone, without Ray"
        parser.add_argument("--num-workers", type=int, default=num_workers, help=help_text)
    options = parser.parse_args(arguments)
    shared = {"num_workers": options.num_workers} if is_shared else {}
    try:
        job = job_from_json(job_class, options.job)
        with cluster.stoppable() as stopped, disk_errors(options.store):
            store = Store.from_uri(options.store)
            if run is not None:
                run(store, job, options.run_id, **shared)
            elif make_worker is not None:
                run_edge(store, job, make_worker, owner=options.run_id, **shared)
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
