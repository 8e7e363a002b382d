"""What a process has used so far: CPU seconds and peak memory, read from the kernel."""

import os
import resource
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    process: str
    """`host:pid`, unique among the processes of all machines."""
    cpu_seconds: float
    """User and system time of the process and of the children it has waited for."""
    peak_memory_bytes: int
    """Largest resident set so far."""


def usage() -> Usage:
    """Usage of the calling process, from its start until now."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return Usage(
        process=f"{socket.gethostname()}:{os.getpid()}",
        cpu_seconds=seconds,
        peak_memory_bytes=_high_water_mark(own.ru_maxrss * 1024),
    )


def _high_water_mark(otherwise: int) -> int:
    # ru_maxrss survives exec, so that a worker forked from a large process would report its parent's peak; VmHWM does
    # not.
    status = Path("/proc/self/status")
    if not status.exists():
        return otherwise
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return otherwise


class Meter:
    """Adds up the usage of the driver since the meter's start and of workers, of which the last report of each
    process counts."""

    def __init__(self) -> None:
        self._at_start = usage()
        self._workers: dict[str, Usage] = {}

    def report(self, worker: Usage) -> None:
        if worker.process != self._at_start.process:
            self._workers[worker.process] = worker

    @property
    def cpu_seconds(self) -> float:
        driver = usage().cpu_seconds - self._at_start.cpu_seconds
        return driver + sum(worker.cpu_seconds for worker in self._workers.values())

    @property
    def peak_memory_bytes(self) -> int:
        """Sum of the peaks of the driver and its workers: an upper bound of what they held at one time."""
        return usage().peak_memory_bytes + sum(worker.peak_memory_bytes for worker in self._workers.values())
