"""Signs of life for whoever sits at a terminal: what a command does, at once, and every few seconds that it goes on. A file or a pipe has none.

uniaudio: reading the model data/store
uniaudio: reading the model data/store (8 s)
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from uniaudio_schemas.pulse import Pulse, pulse


@contextmanager
def working(what: str) -> Iterator[Pulse]:
    """Says `what` on standard error before the work within begins, and again with the seconds of silence while it lasts."""
    if not sys.stderr.isatty():
        yield Pulse()
        return
    _say(what)
    with pulse(_say, what) as pulsing:
        yield pulsing


def _say(line: str) -> None:
    sys.stderr.write(f"uniaudio: {line}\n")
    sys.stderr.flush()
