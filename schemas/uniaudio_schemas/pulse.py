"""A sign of life from work that says nothing by itself.

with pulse(print, "waiting for Ray"):
    wait_for_ray()

waiting for Ray (8 s)
waiting for Ray (16 s)

Through `Lines(sys.stdout)` in place of `print` each sign takes the place of the one before, where a terminal shows them.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

EVERY_S = 8.0
"""Seconds between two signs of life, below the ten after which a person wonders whether anything happens."""
_ERASED = "\r\x1b[K"


class Lines:
    """Says lines on a stream, as `print` does. On a terminal a sign of life stands until the next sign, the next line or the end of the work
    takes its place; elsewhere it is a line as any other."""

    def __init__(self, stream: TextIO, start: str = "") -> None:
        """`start`: what each line begins with, such as the name of the program."""
        self._stream, self._start, self._is_terminal = stream, start, stream.isatty()
        self._has_sign, self._pulsing = False, Pulse()

    def __call__(self, line: str) -> None:
        self._pulsing.since = time.monotonic()
        self._write(f"{self._start}{line}\n")

    def sign(self, line: str) -> None:
        """A sign of life."""
        if self._is_terminal:
            # What is longer than the terminal is wide would stand in two rows, of which one is erased.
            width = shutil.get_terminal_size().columns - 1
            self._write(f"{self._start}{line}"[:width] + "\r")
            self._has_sign = True
        else:
            self._write(f"{self._start}{line}\n")

    def erase(self) -> None:
        """Takes the sign away that stands there."""
        if self._has_sign:
            self._write("")

    def _write(self, text: str) -> None:
        self._stream.write((_ERASED if self._has_sign else "") + text)
        self._stream.flush()
        self._has_sign = False

    def join(self, pulsing: "Pulse") -> None:
        """Every line from now on is one of this work, whose seconds of silence begin again with it."""
        self._pulsing = pulsing


class Pulse:
    """Since when nothing was said."""

    def __init__(self, lines: Lines | None = None) -> None:
        self.since, self._lines = time.monotonic(), lines

    def beat(self) -> None:
        """Something is said, or was done: the seconds begin again."""
        self.since = time.monotonic()
        if self._lines is not None:
            self._lines.erase()


@contextmanager
def pulse(say: Callable[[str], None], what: str, every_s: float = EVERY_S) -> Iterator[Pulse]:
    """Says `what` with the seconds of silence, every `every_s` of them, until the work within ends. `say` is called in another thread."""
    lines = say if isinstance(say, Lines) else None
    sign = say if lines is None else lines.sign
    ended, pulsing = threading.Event(), Pulse(lines)
    if lines is not None:
        lines.join(pulsing)

    def speak() -> None:
        said_at = pulsing.since
        while not ended.wait(max(0.0, max(said_at, pulsing.since) + every_s - time.monotonic())):
            now = time.monotonic()
            if now >= max(said_at, pulsing.since) + every_s:
                said_at = now
                sign(f"{what} ({now - pulsing.since:.0f} s)")

    thread = threading.Thread(target=speak, daemon=True, name="pulse")
    thread.start()
    try:
        yield pulsing
    finally:
        ended.set()
        thread.join()
        if lines is not None:
            lines.erase()
