"""What a second label file says of a key, looked up while the first one streams: Kaldi's `text` for each line of `segments`.

Toolkits sort their files by key. Two files in the same order are read side by side, and memory does not grow with them; any other is read
into memory as a whole.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from uniaudio_pipelines.source_to_raw.formats.format import Problem

V = TypeVar("V")


class Lookup(Generic[V]):
    """Values by key. `check` comes first: it reads the file once, and says what is wrong with it."""

    def __init__(self, rows: Callable[[], "Iterator[tuple[str, V] | Problem]"]) -> None:
        """`rows()` reads the file from its beginning."""
        self._rows = rows
        self.num_rows = 0
        self._is_sorted = True
        self._all: dict[str, V] | None = None
        self._ahead = self._pairs()
        self._next: tuple[str, V] | None = None
        self._asked = ""

    def check(self) -> Iterator[Problem]:
        """The problems of the file; afterwards `num_rows` is known, and whether its keys are in order."""
        last = None
        for row in self._rows():
            if isinstance(row, Problem):
                yield row
            else:
                self._is_sorted = self._is_sorted and (last is None or last < row[0])
                last = row[0]
                self.num_rows += 1

    def get(self, key: str) -> V | None:
        """The value of `key`, the first where there are several; None where there is none."""
        if self._all is None and (not self._is_sorted or key < self._asked):
            self._all = {}
            for known, value in self._pairs():
                self._all.setdefault(known, value)
        if self._all is not None:
            return self._all.get(key)
        self._asked = key
        while self._next is None or self._next[0] < key:
            self._next = next(self._ahead, None)
            if self._next is None:
                return None
        return self._next[1] if self._next[0] == key else None

    def _pairs(self) -> Iterator[tuple[str, V]]:
        return (row for row in self._rows() if not isinstance(row, Problem))
