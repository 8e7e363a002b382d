"""The only place that starts or joins Ray, so that a laptop, a test and a cluster differ here and nowhere else.

Inside a Ray job, or with `RAY_ADDRESS` naming a cluster, `connect` joins that cluster; otherwise it starts a private
one on this machine that dies with the process. Nothing here ever stops a cluster it did not start.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Set before ray is imported: since 2.59 a local cluster turns token authentication on and its own dashboard answers
# 401.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

_OBJECT_STORE_BYTES = 256 * 2**20
"""Rows never travel through the object store (workers put their own shards), so a private cluster needs little."""
_JOB_MARK = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets this variable for the driver of a submitted job."""


def connect(num_cpus: int | None = None) -> None:
    """Join the surrounding cluster, or start a private one with `num_cpus` (default: what this process may use). Twice
    is once.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    joins = _JOB_MARK in os.environ or bool(address and not address.startswith(("http://", "https://")))
    if not joins:
        # Read when ray is imported: without it Ray on Linux listens on the machine's outward address.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray

    if ray.is_initialized():
        return
    with _own_sigterm_handler():
        if joins:
            ray.init(address="auto", logging_level=logging.WARNING, log_to_driver=True)
            return
        ray.init(
            address="local",
            num_cpus=num_cpus or len(os.sched_getaffinity(0)),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            logging_level=logging.ERROR,
            log_to_driver=True,
        )


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

    if ray.is_initialized():
        ray.shutdown()


def num_workers(resources: dict[str, float], *, at_most: int) -> int:
    """How many workers of `resources` (`num_cpus`, `num_gpus`) the cluster holds, between 1 and `at_most`."""
    import ray

    total = ray.cluster_resources()
    fits = [
        int(total.get(name, 0.0) / resources[key])
        for key, name in (("num_cpus", "CPU"), ("num_gpus", "GPU"))
        if resources.get(key, 0.0) > 0
    ]
    return max(1, min([at_most, *fits]))


def actor(cls: type, resources: dict[str, float], *args: Any) -> Any:
    """Start an actor of `cls`. It is never restarted by Ray: the caller replaces it, so that retries are counted in
    one place."""
    import ray

    options = {"num_cpus": resources.get("num_cpus", 1.0), "num_gpus": resources.get("num_gpus", 0.0)}
    return ray.remote(cls).options(max_restarts=0, max_task_retries=0, **options).remote(*args)


def kill(handle: Any) -> None:
    """End an actor at once; one that is dead already is fine."""
    import ray

    ray.kill(handle, no_restart=True)


def first_ready(references: list[Any], timeout_s: float) -> list[Any]:
    """Those of `references` that are done (or failed) within `timeout_s`; possibly none."""
    import ray

    ready, _ = ray.wait(references, num_returns=1, timeout=timeout_s)
    return list(ready)


def result(reference: Any) -> Any:
    """The value of a reference. An exception of the worker's own code is raised as itself, a lost process as
    `WorkerLostError`."""
    import ray
    from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, Exception):
            raise cause from error
        raise
    except (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError) as error:
        raise WorkerLostError(str(error).splitlines()[0]) from error


class WorkerLostError(Exception):
    """The process of a worker ended before it answered: killed, out of memory, or its machine is gone."""


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
