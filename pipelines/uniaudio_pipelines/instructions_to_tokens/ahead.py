"""Audio made ahead of the encoder by threads, as much of it as may wait."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from uniaudio_pipelines.instructions_to_tokens.audio import Rendered

MAX_AHEAD_SAMPLES = 1 << 24
"""Samples of clips that wait for the encoder, at most: 64 MiB, and one clip a thread beside them."""

Render = Callable[[list[str]], Iterator[Rendered]]


def rendered_ahead(
    groups: Iterable[list[str]], render: Render, *, num_threads: int, max_samples: int = MAX_AHEAD_SAMPLES
) -> Iterator[Rendered]:
    """What `render` gives for each group, in the order in which threads finish it. An exception of `render` is raised here."""
    ahead = _Ahead(groups, render, max_samples)
    threads = [threading.Thread(target=ahead.work, daemon=True) for _ in range(num_threads)]
    for thread in threads:
        thread.start()
    try:
        num_working = num_threads
        while num_working:
            item = ahead.take()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                num_working -= 1
            else:
                yield item
    finally:
        ahead.stop()
        for thread in threads:
            thread.join()


class _Ahead:
    """What threads have made and nobody has taken yet, bounded by its size."""

    def __init__(self, groups: Iterable[list[str]], render: Render, max_samples: int) -> None:
        self._groups, self._render, self._max_samples = iter(groups), render, max_samples
        self._lock, self._changed = threading.Lock(), threading.Condition()
        self._items: queue.SimpleQueue[Rendered | BaseException | None] = queue.SimpleQueue()
        self._num_waiting = 0
        self._stopped = False

    def work(self) -> None:
        """Render groups until none is left, in a thread of its own; a last item None marks its end."""
        try:
            while (group := self._next()) is not None:
                for one in self._render(group):
                    self._put(one)
                    if self._stopped:
                        return
        except BaseException as error:  # noqa: BLE001 (raised again by who takes it)
            self._items.put(error)
        finally:
            self._items.put(None)

    def take(self) -> Rendered | BaseException | None:
        item = self._items.get()
        if isinstance(item, Rendered):
            with self._changed:
                self._num_waiting -= len(item.samples)
                self._changed.notify_all()
        return item

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _next(self) -> list[str] | None:
        with self._lock:
            return None if self._stopped else next(self._groups, None)

    def _put(self, one: Rendered) -> None:
        size = len(one.samples)
        with self._changed:
            # One that is larger than all goes in alone.
            self._changed.wait_for(
                lambda: self._stopped or not self._num_waiting or self._num_waiting + size <= self._max_samples
            )
            self._num_waiting += size
        self._items.put(one)
