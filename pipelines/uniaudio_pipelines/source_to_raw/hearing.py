"""Landmarks of a finished clip, from the samples as they are stored: its copies elsewhere are found by them.

Reads    a FLAC
Gives    `[K]` int64 of `uniaudio.audio.landmarks`
"""

# Shapes: N samples, K landmarks

import io
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

_BLOCK = 1 << 18
"""Samples a channel."""
_MAX_S = 36 * 3600
"""Landmarks count frames up to 37 hours; what is behind this has none."""


class Slice(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file, self._offset, self._size, self._at = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._offset + self._at)
        data = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def landmarks_of(flac: IO[bytes] | io.RawIOBase, sample_rate: int, channel: int | None) -> np.ndarray:
    """Landmarks of `channel`, or of the mean of all channels."""
    import torch

    from uniaudio.audio.landmarks import LANDMARK_RATE, Landmarks
    from uniaudio.audio.resample import resample_blocks

    landmarks = Landmarks()
    num_threads = torch.get_num_threads()
    # The last bits of sums may depend on the number of threads, and a landmark on those.
    torch.set_num_threads(1)
    try:
        for block_N in resample_blocks(_mono(flac, sample_rate, channel), sample_rate, LANDMARK_RATE):
            landmarks.add(block_N)
    finally:
        torch.set_num_threads(num_threads)
    return landmarks.finish()


def _mono(flac: IO[bytes] | io.RawIOBase, sample_rate: int, channel: int | None) -> Iterator[np.ndarray]:
    import soundfile

    left = _MAX_S * sample_rate
    with soundfile.SoundFile(flac) as file:
        while left > 0 and len(block_NC := file.read(min(_BLOCK, left), dtype="float32", always_2d=True)):
            left -= len(block_NC)
            yield block_NC.mean(axis=1) if channel is None else block_NC[:, channel]
