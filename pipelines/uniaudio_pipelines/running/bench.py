"""Where a worker sits: built in an actor of some node, or in the driver; lets it process units and puts their shards.

A node that sees another store than the driver, or none, is told so before anything is read or written there.
"""

import gc
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from uniaudio_schemas.errors import LeaseLostError, UsageError
from uniaudio_schemas.store import Dropped, Store, layout
from uniaudio_schemas.store.files import disk_errors
from uniaudio_schemas.store.lease import read_lease
from uniaudio_schemas.store.manifest import Plan

from uniaudio_pipelines.jobs import Job
from uniaudio_pipelines.running.cluster import node_name
from uniaudio_pipelines.running.hand import Hand
from uniaudio_pipelines.running.metering import Usage, usage


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
    """Usage of processes that the worker itself started."""
    scratch: Path | None = None
    """A folder that goes once the unit is staged."""
    work: dict[str, float] = field(default_factory=dict)
    """What this run did, such as values computed and reused, seconds an annotator took: summed up in the summary and in the runs log,
    never in the manifest."""


class Worker(Protocol):
    """A worker with an attribute `hand` (a `Hand`) is given one for each unit, and can so name the row that kills it."""

    def process(self, unit: str) -> ShardResult: ...


MakeWorker = Callable[[str, Any, Plan], Worker]
"""`make_worker(store_root, job, plan)`: builds a worker, models loaded; a module's top-level function or class."""


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    unit: str
    num_rows: int
    dropped: dict[str, int]
    audio_s: float
    usage: tuple[Usage, ...]
    work: dict[str, float]


class Bench:
    def __init__(self, make_worker: MakeWorker, store_root: str, job: Job, plan: Plan, token: int) -> None:
        self._make = partial(make_worker, store_root, job, plan)
        self._root, self._plan, self._token = store_root, plan, token
        self._worker: Worker | None = None

    def ready(self) -> None:
        """Build the worker. Not done in `__init__`: an exception in an actor's constructor would look like a lost process."""
        store = Store(self._root)
        check_store(store, self._plan, self._token)
        self._files, self._writer = store.files, store.shard_writer(self._plan, self._token)
        with disk_errors(tempfile.gettempdir()):
            self._worker = self._make()

    def process(self, unit: str, careful: bool = False, refused: frozenset[str] = frozenset()) -> UnitReport:
        """Finish one unit; `careful` and `refused` are a `Hand`'s."""
        if self._worker is None:
            self.ready()
        worker: Any = self._worker
        if hasattr(worker, "hand"):
            worker.hand = Hand(careful=careful, refused=refused, mark=lambda row: self._mark(unit, row))
        if careful:
            self._mark(unit, "")
        # Workers keep temporary files there.
        with disk_errors(tempfile.gettempdir()):
            result: ShardResult = worker.process(unit)
        blobs = [blob if isinstance(blob, str) else self._writer.put_blob(blob) for blob in result.blobs]
        shard = self._writer.put_shard(
            unit, result.rows, result.dropped, result.metadata or None, result.statistics, blobs=blobs
        )
        if result.scratch is not None:
            shutil.rmtree(result.scratch, ignore_errors=True)
        return UnitReport(
            unit=unit,
            num_rows=shard.num_rows,
            dropped=dict(shard.dropped),
            audio_s=result.statistics.get("audio_s", 0.0),
            usage=(usage(), *result.usage),
            work=result.work,
        )

    def close(self) -> None:
        """Let go of the worker, and so of its temporary files: an actor's process ends without a chance for that."""
        self._worker = None
        gc.collect()

    def _mark(self, unit: str, row: str) -> None:
        self._files.write(_mark_path(self._plan, unit), row.encode())


def marked(store: Store, plan: Plan, unit: str) -> str:
    """The row of a unit that the last careful worker had in hand; "" where it had none."""
    return (store.files.read(_mark_path(plan, unit)) or b"").decode()


def _mark_path(plan: Plan, unit: str) -> str:
    return f"{layout.staging_folder(plan)}/{unit}.hand"


def check_store(store: Store, plan: Plan, token: int) -> None:
    """UsageError where this node does not see the store in which the driver took its lease."""
    root = str(store.root)
    if "://" not in root and not Path(root).is_dir():
        raise UsageError(f"node {node_name()} has no folder {root}: the store must be there on every node.")
    lease = read_lease(store.files, plan.kind, plan.plan_id)
    if lease is None or lease.token < token:
        raise UsageError(
            f"node {node_name()} sees another store at {root} than the driver: it must be the same on every node."
        )
    if lease.token > token:
        raise LeaseLostError(f"{plan.kind} {plan.plan_id[:8]}: {lease.owner!r} took over; this run stops.")
