"""Some rows of an index, in an order of their own, without a list of them where they are a range of it.

examples = Examples(index, Without(range(1_000, 2_000), left_out=np.array([3, 7])))
examples.lengths[3], examples.place(3)  ->  412, 1004
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uniaudio.training.sequences.index import SequenceIndex


class Without:
    """A range without some of its elements: `len` and an element in O(log n) of those left out, and no memory but for them."""

    def __init__(self, run: range, left_out: np.ndarray) -> None:
        """`left_out`: places in `run`, ascending."""
        self.run, self.left_out = run, left_out
        # An element moves by as many places as are left out before it.
        self.kept_before = left_out - np.arange(len(left_out))

    def __len__(self) -> int:
        return len(self.run) - len(self.left_out)

    def __getitem__(self, number: int) -> int:
        return self.run[number + int(np.searchsorted(self.kept_before, number, side="right"))]


Places = range | Without | np.ndarray
"""Numbers of rows in the index."""


@dataclass(frozen=True, slots=True)
class Column:
    """One number of each example, read where it is asked for."""

    values: np.ndarray
    places: Places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> int:
        return int(self.values[self.places[number]])

    def sum(self) -> int:
        """Sum over the examples, in one pass."""
        if isinstance(self.places, np.ndarray):
            return int(self.values[self.places].sum(dtype=np.int64))
        run = self.places if isinstance(self.places, range) else self.places.run
        values = self.values[run.start : run.stop]
        left_out = self.places.left_out if isinstance(self.places, Without) else np.zeros(0, np.int64)
        return int(values.sum(dtype=np.int64)) - int(values[left_out].sum(dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of one group or task."""

    index: SequenceIndex
    places: Places

    def __len__(self) -> int:
        return len(self.places)

    @property
    def lengths(self) -> Column:
        """Number of positions of each example."""
        return Column(self.index.num_positions, self.places)

    @property
    def num_loss(self) -> Column:
        """Number of positions of each example that carry loss."""
        return Column(self.index.num_loss, self.places)

    def places_of(self, numbers: Sequence[int]) -> np.ndarray:
        """`[n]` int64: rows of the index."""
        return _taken(self.places, np.asarray(numbers, np.int64))


def _taken(places: Places, numbers: np.ndarray) -> np.ndarray:
    if isinstance(places, np.ndarray):
        rows: np.ndarray = places[numbers]
        return rows
    if isinstance(places, range):
        return places.start + numbers
    return places.run.start + numbers + np.searchsorted(places.kept_before, numbers, side="right")
