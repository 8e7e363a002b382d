"""Units on workers that come and go: asked for as units wait, used as they appear, replaced when lost, released when idle.

A worker that is not ready never holds a unit, so that nothing waits for a place that it occupies itself: workers are lost with their
node, wait for a new one, or are still loading their models, and the others go on. What is asked for and not there yet is what an
autoscaling cluster grows by.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from uniaudio_schemas.errors import StoreError

from uniaudio_pipelines.running.hand import Losses

SPARE = 8
"""Workers asked for beyond those that are there, at least; else as many again, so that a growing cluster doubles."""
MAX_FAILED_STARTS = 5
"""Failed starts in succession while no worker is there: then it is not the fault of machines."""
SILENCE_S = 10.0
"""Seconds without a worker after which a message says what is waited for. The next ones come after twice as long, and so on."""
_LOOK_S = 1.0


class WorkerLostError(Exception):
    """The process of a worker ended before it answered: killed, out of memory, or its machine is gone."""

    with_node = False
    """Whether its machine is."""


class Workers(Protocol):
    """How workers are started, spoken to and ended: `cluster.RayWorkers`. Handles and references are hashable."""

    def start(self) -> tuple[Any, Any]:
        """A worker and a reference that is done once it can take units."""
        ...

    def give(self, worker: Any, unit: str, *, careful: bool, refused: frozenset[str]) -> Any:
        """A reference that is done with the unit."""
        ...

    def first(self, references: Sequence[Any], timeout_s: float) -> list[Any]:
        """References that are done (or failed) within `timeout_s`, as soon as there is one."""
        ...

    def result(self, reference: Any) -> Any:
        """The worker's own exception as itself, a lost process as `WorkerLostError`."""
        ...

    def release(self, workers: Sequence[Any]) -> None:
        """End workers that have nothing in hand; their temporary files go with them."""
        ...

    def end(self, worker: Any) -> None:
        """End a worker at once."""
        ...

    def shortage(self) -> str:
        """What is waited for while no worker is there."""
        ...


@dataclass(frozen=True, slots=True)
class _Ready:
    worker: Any
    since: float


class Pool:
    """Works through units with `limit` workers at most. `say` is given a line where a worker is lost or waited for."""

    def __init__(self, workers: Workers, losses: Losses, *, limit: int, say: Callable[[str], None]) -> None:
        self._workers, self._losses, self._limit, self._say = workers, losses, limit, say
        self._queue: deque[str] = deque()
        self._starting: dict[Any, tuple[Any, int]] = {}
        """Reference -> worker, and its number among those that were asked for, from 1."""
        self._idle: list[_Ready] = []
        self._running: dict[Any, tuple[_Ready, str]] = {}
        self._num_failed_starts = self._num_asked = self._asked_before_failure = 0
        self._not_before = self._lonely_since = time.monotonic()
        self._next_word_s = SILENCE_S
        self.attempts, self.worker_seconds = 0, 0.0

    def work(self, units: Sequence[str]) -> Iterator[Any]:
        """What the workers answer, unit by unit, as they are finished. StoreError where a unit or all workers are given up; an exception
        of a worker's own ends the work."""
        self._queue.extend(units)
        try:
            while self._queue or self._running:
                self._release(self._num_wanted)
                self._ask()
                self._give()
                self._tell_what_is_waited_for()
                for reference in self._workers.first([*self._running, *self._starting], _LOOK_S):
                    if reference in self._starting:
                        self._started(reference)
                    else:
                        yield from self._answered(reference)
        finally:
            self._release(0)
            for ready, _ in self._running.values():
                self._count(ready)
                self._workers.end(ready.worker)

    @property
    def _num_wanted(self) -> int:
        """Workers that would all have a unit."""
        return min(self._limit, len(self._queue) + len(self._running))

    @property
    def _num_there(self) -> int:
        return len(self._idle) + len(self._running)

    def _release(self, num_kept: int) -> None:
        """Release workers that no unit waits for: others of the cluster may want their place."""
        surplus = max(0, min(len(self._idle), self._num_there - num_kept))
        for ready in self._idle[:surplus]:
            self._count(ready)
        self._workers.release([ready.worker for ready in self._idle[:surplus]])
        del self._idle[:surplus]
        while self._starting and self._num_there + len(self._starting) > num_kept:
            _, (worker, _) = self._starting.popitem()
            self._workers.end(worker)

    def _ask(self) -> None:
        if time.monotonic() < self._not_before:
            return
        target = min(self._num_wanted, self._num_there + max(SPARE, self._num_there))
        for _ in range(target - self._num_there - len(self._starting)):
            worker, reference = self._workers.start()
            self._num_asked += 1
            self._starting[reference] = (worker, self._num_asked)

    def _give(self) -> None:
        while self._queue and self._idle:
            ready, unit = self._idle.pop(), self._queue.popleft()
            careful, refused = self._losses.terms(unit)
            self.attempts += 1
            self._running[self._workers.give(ready.worker, unit, careful=careful, refused=refused)] = (ready, unit)

    def _started(self, reference: Any) -> None:
        try:
            self._workers.result(reference)
        except WorkerLostError as error:
            # Many wait for one node and are lost with it: those that were asked for before a failure belong to that failure.
            if self._starting.pop(reference)[1] > self._asked_before_failure:
                self._num_failed_starts += 1
                self._asked_before_failure = self._num_asked
            if self._num_failed_starts >= MAX_FAILED_STARTS and not self._num_there:
                raise StoreError(
                    f"{self._num_failed_starts} workers ended before they could begin, last: {error}"
                ) from error
            self._say(f"a worker ended before it could begin ({error}); starting another")
            self._not_before = time.monotonic() + min(30.0, 2.0 ** (self._num_failed_starts - 1) - 1)
            return
        self._num_failed_starts = 0
        self._idle.append(_Ready(self._starting.pop(reference)[0], time.monotonic()))

    def _answered(self, reference: Any) -> Iterator[Any]:
        ready, unit = self._running[reference]
        try:
            answer = self._workers.result(reference)
        except WorkerLostError as error:
            del self._running[reference]
            self._count(ready)
            self._workers.end(ready.worker)
            self._queue.appendleft(unit)
            self._say(
                f"lost the worker of {unit} ({error}); " + self._losses.lost(unit, error, with_node=error.with_node)
            )
            return
        del self._running[reference]
        self._idle.append(ready)
        yield answer

    def _count(self, ready: _Ready) -> None:
        self.worker_seconds += time.monotonic() - ready.since

    def _tell_what_is_waited_for(self) -> None:
        now = time.monotonic()
        if self._num_there:
            self._lonely_since, self._next_word_s = now, SILENCE_S
        elif now - self._lonely_since >= self._next_word_s:
            self._say(f"waiting {now - self._lonely_since:.0f} s {self._workers.shortage()}")
            self._next_word_s *= 2
