"""Whether the holder of a lease is still there: by its process where it runs on this machine, by its silence where it does not.

Clocks are never compared closer than `CLOCKS_S`: a machine whose clock is half a minute ahead takes no live lease away.
"""

import os
import time
from pathlib import Path
from typing import Any

CLOCKS_S = 300.0
"""Two machines' clocks may differ so much. (Object stores refuse requests that are 15 minutes off.)"""


class Silence:
    """Since when something has not changed, by this process' own clock."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Any, float]] = {}

    def seconds(self, name: str, state: Any) -> float:
        """0 where `state` is new."""
        now = time.monotonic()
        last, since = self._last.get(name, (None, now))
        if last != state:
            since = now
        self._last[name] = (state, since)
        return now - since


def process_identity(pid: int | None = None) -> str:
    """Names a process for as long as its machine runs; empty where the system does not tell."""
    place, started = _place(), _started(os.getpid() if pid is None else pid)
    return f"{place}:{os.getpid() if pid is None else pid}:{started}" if place and started else ""


def process_lives(identity: str) -> bool | None:
    """Whether a process is alive; None where it ran on another machine, so that this one cannot know."""
    place, _, rest = identity.rpartition(":")
    place, _, pid = place.rpartition(":")
    if not place or place != _place():
        return None
    return _started(int(pid)) == rest if pid.isdigit() else None


def _place() -> str:
    """This boot of this machine, and the namespace in which its process ids mean something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116 (the link has no target to resolve)
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Start time of a running process in clock ticks; empty where it is gone or a zombie."""
    try:
        # After the name, which may hold spaces and brackets: field 3 is the state, field 22 the start time.
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if values[0] in "ZX" else values[19]
