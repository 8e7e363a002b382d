"""The batches of a stage, read, packed and laid out by a thread while the step before is computed."""

import queue
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from uniaudio.training.lm.data import Batch, MixtureData
from uniaudio.training.processes import Processes

DEPTH = 2
"""Steps that may be ready before they are needed: bounds memory."""


class Ready(NamedTuple):
    batch: Batch
    """This rank's rows of the step."""
    position: dict[str, Any]
    """State of the data order after the step."""


class Stream:
    """`next()` gives one step after the other; the order is that of `data`, whoever reads it."""

    def __init__(self, data: MixtureData, processes: Processes, *, pins: bool = False) -> None:
        self._data, self._processes, self._pins = data, processes, pins
        self._thread: threading.Thread | None = None
        self._ready: queue.Queue[Ready | BaseException] = queue.Queue(DEPTH)
        self._stopped = threading.Event()
        self.position = data.state()
        self._waited_s, self._started = 0.0, time.monotonic()

    def next(self) -> Batch:
        """This rank's rows of the next step; an error of the reading thread is raised here."""
        if self._thread is None:
            self._start()
        start = time.monotonic()
        ready = self._ready.get()
        self._waited_s += time.monotonic() - start
        if isinstance(ready, BaseException):
            self._ready.put(ready)  # for whoever asks again: the thread has ended
            raise ready
        self.position = ready.position
        return ready.batch

    @property
    def waiting_share(self) -> float:
        """Share of the time since the first step was asked for that was spent on waiting for rows."""
        return self._waited_s / max(time.monotonic() - self._started, 1e-9)

    def restore(self, position: Mapping[str, Any]) -> None:
        """Go on behind the step that had this position."""
        self.close()
        self._data.restore(position)
        self.position = self._data.state()

    def close(self) -> None:
        """Stop reading ahead; `next` would go on from the position after the last step given, through `restore`."""
        self._stopped.set()
        if self._thread is not None:
            while self._thread.is_alive():
                # The thread may wait for room.
                self._drain()
                self._thread.join(0.01)
            self._drain()
            self._thread = None

    def _start(self) -> None:
        self._stopped.clear()
        self._waited_s, self._started = 0.0, time.monotonic()
        self._thread = threading.Thread(target=self._read_ahead, name="batches", daemon=True)
        self._thread.start()

    def _read_ahead(self) -> None:
        try:
            while not self._stopped.is_set():
                plan = self._data.next_step()
                batch = self._data.read(plan, rank=self._processes.rank, world_size=self._processes.world_size)
                self._ready.put(Ready(batch.pinned() if self._pins else batch, self._data.state()))
        except Exception as error:  # noqa: BLE001 - raised in `next`
            self._ready.put(error)

    def _drain(self) -> None:
        try:
            while True:
                self._ready.get_nowait()
        except queue.Empty:
            return
