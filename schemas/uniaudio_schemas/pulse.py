"""A sign of life from work that says nothing by itself.

with pulse(print, "waiting for Ray") as pulsing:
    wait_for_ray()

waiting for Ray (8 s)
waiting for Ray (16 s)
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 8.0
"""Seconds between two signs of life, below the ten after which a person wonders whether anything happens."""
PATIENT_AFTER_S, PATIENT_EVERY_S = 600.0, 60.0
"""After ten minutes (the first number) signs of life come once a minute (the second)."""


class Pulse:
    """Since when nothing was said."""

    def __init__(self) -> None:
        self.since = time.monotonic()

    def beat(self) -> None:
        """Something was said, or done: the seconds begin again."""
        self.since = time.monotonic()


@contextmanager
def pulse(say: Callable[[str], None], what: str, every_s: float = EVERY_S) -> Iterator[Pulse]:
    """Says `what` with the seconds of silence, every `every_s` of them, until the work within ends. `say` is called in another thread."""
    ended, pulsing = threading.Event(), Pulse()

    def speak() -> None:
        said_at = pulsing.since
        while True:
            is_patient = said_at - pulsing.since >= PATIENT_AFTER_S
            pause_s = max(every_s, PATIENT_EVERY_S) if is_patient else every_s
            if ended.wait(max(0.0, max(said_at, pulsing.since) + pause_s - time.monotonic())):
                return
            now = time.monotonic()
            if now >= max(said_at, pulsing.since) + pause_s:
                said_at = now
                say(f"{what} ({now - pulsing.since:.0f} s)")

    thread = threading.Thread(target=speak, daemon=True, name="pulse")
    thread.start()
    try:
        yield pulsing
    finally:
        ended.set()
        thread.join()
