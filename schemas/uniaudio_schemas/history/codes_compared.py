"""How much the codes of clips differ between two versions of tokens: of each branch the share of codes that are not the same.

    {"reasoning_codes": {"clips": 3, "share": 0.012, "share_of_changed": 0.4}, …}, "most": [{"clip_id": "5f1c…", "reasoning_codes": 0.75, …}]

A frame that only one of the two has differs in all its codes.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from uniaudio_schemas.history.aligned import Window
from uniaudio_schemas.history.named import numbers
from uniaudio_schemas.kinds.arrays import CODES_TYPE, NUM_CODEBOOKS

MOST = 10
"""Clips that are named: those that changed most."""


@dataclass(kw_only=True)
class CodesCompared:
    """Sums over the windows that were added."""

    branches: tuple[str, ...]
    """Columns of codes."""
    id_field: str
    num_clips: int = 0
    num_changed: int = 0
    """Clips with another code in any branch."""
    clips: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    """Codes that differ."""
    of_changed: Counter[str] = field(default_factory=Counter)
    """Codes of clips that differ in the branch."""
    most: list[tuple[float, str, dict[str, float]]] = field(default_factory=list)

    def add(self, window: Window) -> None:
        shares = {name: self._branch(window, name) for name in self.branches}
        self.num_clips += len(window.first)
        largest = np.max(list(shares.values()), axis=0, initial=0.0)
        changed = np.flatnonzero(largest)
        self.num_changed += len(changed)
        ids = window.first[self.id_field]
        for row in changed[np.argsort(-largest[changed], kind="stable")[:MOST]].tolist():
            rounded_shares = {name: round(float(share[row]), 6) for name, share in shares.items()}
            self.most.append((float(largest[row]), ids[row].as_py(), rounded_shares))
        self.most = heapq.nsmallest(MOST, self.most, key=lambda one: (-one[0], one[1]))

    def add_equal(self, table: pa.Table) -> None:
        """Clips of which the two versions have the same codes."""
        self.num_clips += len(table)
        for name in self.branches:
            self.codes[name] += NUM_CODEBOOKS * int(sum(_frames(table[name])[1].tolist()))

    def _branch(self, window: Window, name: str) -> np.ndarray:
        """`[clips]` float: share of a clip's codes that differ."""
        num_changed, num_codes = codes_that_differ(window.first[name], window.second[name])
        self.clips[name] += int(np.count_nonzero(num_changed))
        self.codes[name] += int(num_codes.sum())
        self.changed[name] += int(num_changed.sum())
        self.of_changed[name] += int(num_codes[num_changed > 0].sum())
        shares: np.ndarray = num_changed / np.maximum(num_codes, 1)
        return shares

    def answer(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "clips": self.num_clips,
            "changed": self.num_changed,
            "branches": {
                name: {
                    "clips": self.clips[name],
                    "share": self.changed[name] / max(self.codes[name], 1),
                    "share_of_changed": self.changed[name] / max(self.of_changed[name], 1),
                }
                for name in self.branches
            },
            "most": [{self.id_field: clip, **shares} for _, clip, shares in self.most],
        }


def codes_that_differ(first: pa.ChunkedArray, second: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """`[clips]` int: codes that differ, and codes of the longer of the two."""
    (left, left_lengths), (right, right_lengths) = _frames(first), _frames(second)
    shorter, longer = np.minimum(left_lengths, right_lengths), np.maximum(left_lengths, right_lengths)
    if len(left) != len(right) or not np.array_equal(left_lengths, right_lengths):
        left, right = left[_starts(left_lengths, shorter)], right[_starts(right_lengths, shorter)]
    differing = np.count_nonzero(left != right, axis=1)
    sums = np.concatenate([[0], np.cumsum(differing)])
    ends = np.cumsum(shorter)
    return sums[ends] - sums[ends - shorter] + NUM_CODEBOOKS * (longer - shorter), NUM_CODEBOOKS * longer


def _frames(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """`[frames, 8]` int16 of all clips, and `[clips]` frames of each."""
    codes = [numbers(chunk.flatten().flatten()) for chunk in column.chunks]
    lengths = [numbers(chunk.value_lengths()) for chunk in column.chunks]
    flat = np.concatenate([np.zeros(0, np.int16), *codes]).reshape(-1, NUM_CODEBOOKS)
    return flat, np.concatenate([np.zeros(0, np.int64), *lengths]).astype(np.int64)


def _starts(lengths: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Places of the first `wanted` frames of each clip."""
    starts, ends = np.cumsum(lengths) - lengths, np.cumsum(wanted)
    places: np.ndarray = np.arange(int(wanted.sum())) + np.repeat(starts - (ends - wanted), wanted)
    return places


def branches_of(arrow: pa.Schema) -> tuple[str, ...]:
    """Columns with codes."""
    return tuple(column.name for column in arrow if column.type == CODES_TYPE)
