"""The only place that starts or joins Ray, so that a laptop, a test and a cluster differ here and nowhere else.

Inside a Ray job, or with `RAY_ADDRESS` naming a cluster, `connect` joins that cluster; otherwise it starts a private
one on this machine that dies with the process. Nothing here ever stops a cluster it did not start.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import StoreError

from uniaudio_pipelines.running.pool import WorkerLostError
from uniaudio_pipelines.running.scratch import ScratchFolder

# Set before ray is imported: since 2.59 a local cluster turns token authentication on and its own dashboard answers
# 401.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

_OBJECT_STORE_BYTES = 256 * 2**20
"""Rows never travel through the object store (workers put their own shards), so a private cluster needs little."""
_GRACE_S = 5.0
"""Seconds for a worker that is released to remove its temporary files."""
_START_ATTEMPTS = 3
"""Ray gives its node 30 s to start, which a busy machine exceeds."""
_folder: ScratchFolder | None = None
"""Logs and sockets of a private cluster."""
_OF_A_RUN = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AZURE_ENDPOINT",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ENDPOINT",
    "GOOGLE_BASE_URL",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
)
_JOB_MARK = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets this variable for the driver of a submitted job."""


def connect(num_cpus: int | None = None) -> None:
    """Join the surrounding cluster, or start a private one with `num_cpus` (default: what this process may use). Twice
    is once.
    """
    joins = _joins()
    if not joins:
        # Read when ray is imported: without it Ray on Linux listens on the machine's outward address.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray

    if ray.is_initialized():
        return
    with _own_sigterm_handler():
        if joins:
            # A job's own environment is that of its workers already.
            own = {} if _JOB_MARK in os.environ else {"env_vars": environment_of_run()}
            ray.init(address="auto", logging_level=logging.WARNING, log_to_driver=True, runtime_env=own)
            return
        _start_private(num_cpus or len(os.sched_getaffinity(0)))


def environment_of_run() -> dict[str, str]:
    """What workers on other nodes are told of this process' environment: where things are, never who may see them. Whoever sees the
    cluster's dashboard sees it, so credentials are each node's own."""
    return {name: value for name, value in os.environ.items() if name.startswith("UNIAUDIO_") or name in _OF_A_RUN}


def _start_private(num_cpus: int) -> None:
    import ray

    global _folder
    for attempt in range(1, _START_ATTEMPTS + 1):
        _folder = ScratchFolder("ray", os.environ.get("RAY_TMPDIR") or "/tmp")
        try:
            ray.init(
                address="local",
                _temp_dir=_folder.name,
                num_cpus=num_cpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                logging_level=logging.ERROR,
                log_to_driver=True,
            )
            # Ray opens its folder, with logs, sockets and what it spills, to everybody.
            Path(_folder.name).chmod(0o700)
            return
        except Exception as error:
            disconnect()
            if "timed out during startup" not in str(error) or attempt == _START_ATTEMPTS:
                raise StoreError(f"Ray could not be started on {node_name()}: {error}") from error


def _joins() -> bool:
    address = os.environ.get("RAY_ADDRESS", "")
    return _JOB_MARK in os.environ or bool(address and not address.startswith(("http://", "https://")))


@contextmanager
def _own_sigterm_handler() -> Iterator[None]:
    """`ray.init` puts its own handler in place, which ends the process without leaving the code in between a chance."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def disconnect() -> None:
    """Leave the cluster; a private one ends. Safe to call when nothing was joined, which costs no import of ray."""
    if "ray" not in sys.modules:
        return
    import ray

    ray.shutdown()
    if _folder is not None:
        _folder.cleanup()


def is_private() -> bool:
    """Whether the cluster is this process' own: then it holds what it holds, and nobody adds to it."""
    return not _joins()


def num_workers(resources: dict[str, float], *, at_most: int) -> int:
    """Number of workers with these `resources` (`num_cpus`, `num_gpus`) that the cluster holds, between 1 and `at_most`."""
    import ray

    total = ray.cluster_resources()
    fits = [int(total.get(name, 0.0) / amount) for name, amount in _named(resources).items() if amount > 0]
    return max(1, min([at_most, *fits]))


def most_cpus(*, num_workers: int) -> int:
    """The most that each of `num_workers` may reserve so that all of them fit; 1 where they do not: no worker is spread over nodes."""
    import ray

    of_nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    fits = (
        each for each in range(max(of_nodes, default=1), 1, -1) if sum(cpus // each for cpus in of_nodes) >= num_workers
    )
    return next(fits, 1)


def node_name() -> str:
    """Name of this process's machine as a user can find it: the host and, within Ray, the node's address."""
    if "ray" in sys.modules:
        import ray

        if ray.is_initialized():
            return f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"
    return socket.gethostname()


def _named(resources: dict[str, float]) -> dict[str, float]:
    """The resources under Ray's names."""
    return {"CPU": resources.get("num_cpus", 1.0), "GPU": resources.get("num_gpus", 0.0)}


class RayWorkers:
    """`pool.Workers` as Ray actors of a class with `ready`, `process` and `close`. Ray never restarts them: who lost one starts another, so
    that retries are counted in one place."""

    def __init__(self, cls: type, resources: dict[str, float], *arguments: Any) -> None:
        import ray

        self._resources = _named(resources)
        options = {"num_cpus": self._resources["CPU"], "num_gpus": self._resources["GPU"]}
        self._class: Any = ray.remote(cls).options(max_restarts=0, max_task_retries=0, **options)
        # Put once: each of a thousand actors would carry its own copy.
        self._arguments = [ray.put(argument) for argument in arguments]

    def start(self) -> tuple[Any, Any]:
        worker = self._class.remote(*self._arguments)
        return worker, worker.ready.remote()

    def give(self, worker: Any, unit: str, *, careful: bool, refused: frozenset[str]) -> Any:
        return worker.process.remote(unit, careful, refused)

    def first(self, references: Sequence[Any], timeout_s: float) -> list[Any]:
        import ray

        if not references:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(references), num_returns=len(references), timeout=0)
        if not ready:
            ready, _ = ray.wait(list(references), num_returns=1, timeout=timeout_s)
        return list(ready)

    def result(self, reference: Any) -> Any:
        return result(reference)

    def release(self, workers: Sequence[Any]) -> None:
        import ray

        if workers:
            ray.wait([worker.close.remote() for worker in workers], num_returns=len(workers), timeout=_GRACE_S)
        for worker in workers:
            self.end(worker)

    def end(self, worker: Any) -> None:
        """End a worker at once; one that is dead already is fine."""
        import ray

        ray.kill(worker, no_restart=True)

    def shortage(self) -> str:
        import ray

        wanted = {name: amount for name, amount in self._resources.items() if amount > 0}
        free, total = ray.available_resources(), ray.cluster_resources()
        has = ", ".join(f"{free.get(name, 0.0):g} of {total.get(name, 0.0):g} {name} free" for name in wanted)
        num_nodes = sum(node["Alive"] for node in ray.nodes())
        amounts = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        return f"for a worker of {amounts} to start: the cluster has {has} on {num_nodes} node{'s' * (num_nodes != 1)}"


def result(reference: Any) -> Any:
    """The value of a reference. An exception of the worker's own code is raised as itself, a lost process as `WorkerLostError`, a lost
    cluster as `StoreError`."""
    import ray
    from ray.exceptions import (
        ActorUnavailableError,
        NodeDiedError,
        OutOfMemoryError,
        RayActorError,
        RayError,
        RayTaskError,
        WorkerCrashedError,
    )

    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, Exception):
            raise cause from error
        raise
    except (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError) as error:
        lines = str(error).strip().splitlines()
        lost = WorkerLostError(lines[0])
        # Of a lost raylet it is only known that nobody answers; of a lost process, that it is gone.
        lost.with_node = isinstance(error, NodeDiedError | ActorUnavailableError) or "node has died" in str(error)
        raise lost from error
    except RayError as error:
        line = str(error).strip().splitlines()[0]
        raise StoreError(f"Ray does not answer any more ({line}): run this again, finished shards are kept.") from error


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """What is within ends at SIGTERM and Ctrl-C; the list then holds the signal's number. Of Ctrl-C Ray Train takes care itself.

    A handler may raise nothing but `KeyboardInterrupt` or `SystemExit`: in `ray.get` all else is lost until there is a result.
    """
    stopped: list[int] = []

    def stop(number: int, frame: Any) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    except KeyboardInterrupt:
        if not stopped:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
