"""Signs of life on standard error: at a terminal what a command does, at once, and everywhere every few seconds that it goes on.

uniaudio: reading the model data/store
uniaudio: reading the model data/store (8 s)
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from uniaudio_schemas.pulse import Lines, Pulse, pulse


@contextmanager
def working(what: str) -> Iterator[Pulse]:
    """Says `what` with the seconds of silence while the work within lasts; a terminal shows it before the work begins, too. `-q` says nothing."""
    if not logging.getLogger("uniaudio").isEnabledFor(logging.WARNING):
        yield Pulse()
        return
    say = Lines(sys.stderr, "uniaudio: ")
    if sys.stderr.isatty():
        say(what)
    with pulse(say, what) as pulsing:
        yield pulsing
