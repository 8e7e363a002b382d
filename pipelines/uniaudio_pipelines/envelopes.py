"""Envelopes of millions of clips, on a disk, compared pair by pair: the second witness of `copies`.

Reads   values of fingerprints that are of envelopes (`uniaudio.audio.envelopes`), clip after clip
Gives   the likeness of pairs, by the clips' numbers

Memory: eight bytes a clip, and one pair at a time.
"""

import os
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from uniaudio.audio.envelopes import envelope_of, likeness

_VALUE_BYTES = 8


class Envelopes:
    """Written once, clip after clip, then read in any order. A context, which closes the file and leaves it where it is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ends = [np.zeros(1, np.int64)]
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._file = self._path.open("w+b")
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, values_K: np.ndarray, lengths_C: np.ndarray) -> None:
        """The next clips: `[K]` int64, those of one clip beside each other, and `[C]` how many each has."""
        assert self._file is not None
        self._file.write(np.ascontiguousarray(values_K, np.int64).tobytes())
        self._ends.append(self._ends[-1][-1] + np.cumsum(lengths_C, dtype=np.int64))

    def likeness(
        self, a_P: np.ndarray, b_P: np.ndarray, offset_frames_P: np.ndarray, speed_P: np.ndarray
    ) -> np.ndarray:
        """`[P]` float64 of `uniaudio.audio.envelopes.likeness` for pairs of clips by their numbers; 0 where one has no envelope."""
        assert self._file is not None
        self._file.flush()
        self._ends = [np.concatenate(self._ends)]
        found_P = np.zeros(len(a_P))
        pairs = zip(a_P.tolist(), b_P.tolist(), offset_frames_P.tolist(), speed_P.tolist(), strict=True)
        last, a_SB = -1, np.zeros((0, 0), np.float32)
        for place, (a, b, offset_frames, speed) in enumerate(pairs):
            if a != last:
                last, a_SB = a, self._read(a)
            b_SB = self._read(b)
            if len(a_SB) and len(b_SB):
                found_P[place] = likeness(a_SB, b_SB, offset_frames, speed)
        return found_P

    def _read(self, clip: int) -> np.ndarray:
        assert self._file is not None
        first, last = self._ends[0][clip : clip + 2].tolist()
        data = os.pread(self._file.fileno(), (last - first) * _VALUE_BYTES, first * _VALUE_BYTES)
        return envelope_of(np.frombuffer(data, np.int64))
