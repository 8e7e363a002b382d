"""A process that dies at a chosen change of the disk."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CHANGES = (
    (os, "open"),
    (os, "fsync"),
    (os, "link"),
    (Path, "rename"),
    (Path, "unlink"),
    (Path, "rmdir"),
    (Path, "mkdir"),
)
"""Whatever changes the disk."""


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do `work` in a child that kills itself with SIGKILL before its `step`-th change of the disk; False if it ended first."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = iter(range(step, -1, -1))
    for owner, name in CHANGES:
        setattr(owner, name, _counted(getattr(owner, name), left))
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def _counted(function: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        if next(left, 0) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return call
