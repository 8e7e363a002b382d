"""How loud a file is and what that says of it, over its whole length: full scale, cancelling and silent channels, offset.

Reads   `[C, n]` float blocks, one after the other
Gives   a `Levels`, what of it is a `Problem`, a gain, and the channel to hear where the mean of the channels is wrong

All sums are float64, block by block in order, so the same blocks give the same figures.
"""

# Shapes: C channels, N samples

import math
from dataclasses import dataclass, field

import numpy as np
from uniaudio_schemas.errors import DataError

from uniaudio.audio.problem import Problem

FULL_SCALE = 32_767 / 32_768
"""The largest sample of 16 bits: a converter that is driven too far stays there."""
INTEGER_SCALES = (1 << 15, 1 << 23, 1 << 31)
"""Full scale of samples that were integers of 16, 24 or 32 bits and became floats as they were."""
MAX_OVERSHOOT = 4.0
"""+12 dB: what mixes in floating point and loud lossy files reach (2.25 was the most of 1,143 Ogg and MP3 files)."""
MAX_CLIP_NOISE = 1e-4
"""-40 dB, what clipping may add. Overshoots of the lossy coding of sound that kept below full scale stay under it (300
MP3s of speech: -42.9 dB at most, 74 have any); of 843 Ogg files the 25 above it are effects mixed too loud.
"""
MIN_MEAN_ENERGY = 0.1
"""-10 dB. Real stereo lies above: of 603 files the two widest have 0.14 and 0.15 (a hiss, a bell), the next 0.30, 202 of
music 0.69 and more; a channel that is the other one inverted has 0, and 0.002 at 0.98 against -0.90.
"""
SILENT_CHANNEL = 1e-5
"""-50 dB, of a channel's energy to the loudest one's. Of the 603 files none has less than -9 dB; a caller that speaks one
second in a hundred has -20 dB.
"""
_QUIETEST = 1 / 64
"""Least peak relative to an integer scale (-36 dB) where samples are not whole numbers. A lower peak belongs to no scale."""
_MIN_FLAT_SHARE = 1e-4
"""84 of 1,547 files have more."""
_MIN_OFFSET = 0.02
"""-34 dB of full scale: a step that is heard where a cut begins. 83 of 1,546 files have more."""


@dataclass(slots=True)
class Levels:
    """`add` each block of a file, then ask."""

    num_samples: int = 0
    """Samples a channel."""
    _sum_C: np.ndarray = field(default_factory=lambda: np.zeros(0))
    _square_C: np.ndarray = field(default_factory=lambda: np.zeros(0))
    _peak_C: np.ndarray = field(default_factory=lambda: np.zeros(0))
    _mean_square: float = 0.0
    _product: float = 0.0
    _num_beyond: int = 0
    _num_flat: int = 0
    _excess_square: float = 0.0
    _last_C: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    _is_integral: bool = True

    def add(self, block_CN: np.ndarray) -> None:
        """`[C, n]` float, full scale is 1; every block of a file has its number of channels."""
        if not block_CN.shape[1]:
            return
        if not self.num_samples:
            zeros_C = np.zeros(block_CN.shape[0])
            self._sum_C, self._square_C, self._peak_C, self._last_C = zeros_C, zeros_C, zeros_C, zeros_C > 0
        wide_CN = block_CN.astype(np.float64)
        size_CN = np.abs(wide_CN)
        self._sum_C = self._sum_C + wide_CN.sum(axis=1)
        self._square_C = self._square_C + np.square(wide_CN).sum(axis=1)
        self._peak_C = np.maximum(self._peak_C, size_CN.max(axis=1))
        self._mean_square += float(np.square(wide_CN.mean(axis=0)).sum())
        if len(wide_CN) == 2:
            self._product += float((wide_CN[0] * wide_CN[1]).sum())
        full_CN = size_CN >= FULL_SCALE
        if full_CN.any():
            before_CN = np.concatenate([self._last_C[:, None], full_CN[:, :-1]], axis=1)
            self._num_flat += int((full_CN & before_CN).sum())
            self._num_beyond += int((size_CN > 1).sum())
            self._excess_square += float(np.square(np.maximum(size_CN - 1, 0)).sum())
        self._last_C = full_CN[:, -1]
        # What was cast from integers still is whole numbers.
        self._is_integral = self._is_integral and bool((wide_CN == np.rint(wide_CN)).all())
        self.num_samples += block_CN.shape[1]

    @property
    def num_channels(self) -> int:
        return len(self._sum_C)

    @property
    def peaks(self) -> np.ndarray:
        """Largest absolute value of each channel, `[C]`."""
        return self._peak_C

    @property
    def peak(self) -> float:
        return float(self._peak_C.max()) if self.num_samples else 0.0

    @property
    def mean_squares(self) -> np.ndarray:
        """Mean square of each channel without its offset, `[C]`."""
        squares_C: np.ndarray = np.maximum(self._square_C / max(1, self.num_samples) - np.square(self.offsets), 0)
        return squares_C

    @property
    def offsets(self) -> np.ndarray:
        """Mean of each channel, `[C]`."""
        return self._sum_C / max(1, self.num_samples)

    @property
    def share_beyond(self) -> float:
        """Share of all values that lie beyond full scale."""
        return self._num_beyond / max(1, self.num_samples * self.num_channels)

    @property
    def num_beyond(self) -> int:
        """Values beyond full scale, all channels together."""
        return self._num_beyond

    @property
    def clip_noise(self) -> float:
        """Energy that clipping at full scale takes away, over the energy of the file."""
        return self._excess_square / max(float(self._square_C.sum()), np.finfo(float).tiny)

    @property
    def is_integral(self) -> bool:
        """Whether every value is a whole number, as samples are that were cast from integers without a division."""
        return self._is_integral

    @property
    def share_flat(self) -> float:
        """Share of all values at or beyond full scale that follow another such value: tops of a wave that were cut off."""
        return self._num_flat / max(1, self.num_samples * self.num_channels)

    @property
    def correlation(self) -> float | None:
        """Correlation of the two channels of stereo, -1 … 1. None for other numbers of channels, and where a channel is constant."""
        if self.num_channels != 2:
            return None
        covariance = self._product / self.num_samples - float(np.prod(self.offsets))
        scale = math.sqrt(float(np.prod(self.mean_squares)))
        return max(-1.0, min(1.0, covariance / scale)) if scale else None

    @property
    def mean_energy(self) -> float:
        """Energy of the mean of the channels over the mean of their energies: 1 where they are equal, 1 / C where they have
        nothing in common, 0 where they cancel. Without the offsets. 1 for silence.
        """
        energy = float(self.mean_squares.mean()) if self.num_samples else 0.0
        of_mean = self._mean_square / max(1, self.num_samples) - float(self.offsets.mean()) ** 2 if energy else 0.0
        return max(0.0, of_mean) / energy if energy else 1.0


def full_scale_gain(levels: Levels, name: str = "the file") -> float:
    """What to multiply every sample by so that full scale is 1. 1.0 for what has it already, and for overshoots so few and
    small that clipping them adds less than `MAX_CLIP_NOISE`.

    A file of floats at the scale of integers gets exactly 1 / 2^15, 2^23 or 2^31; what is beyond full scale by up to
    `MAX_OVERSHOOT` gets 1 / peak, which changes its loudness and nothing else. Any other peak belongs to no scale:
    `DataError`, naming `name`.
    """
    peak = levels.peak
    if peak <= 1:
        return 1.0
    if peak <= MAX_OVERSHOOT:
        return 1.0 if levels.clip_noise <= MAX_CLIP_NOISE else 1 / peak
    for scale in INTEGER_SCALES:
        if peak <= scale and (levels.is_integral or peak >= scale * _QUIETEST):
            return 1 / scale
        if scale < peak <= scale * math.sqrt(2) and not levels.is_integral:  # resampled since
            return 1 / peak
    raise DataError(f"{name}: beyond_full_scale: its peak must be 1, or that of 16, 24 or 32 bits, but is {peak:.6g}.")


def mono_channel(levels: Levels) -> int | None:
    """The channel to take for mono, or None where the mean of all channels is right.

    The loudest one (the first, of equal ones) where the mean has less than `MIN_MEAN_ENERGY` of the channels' energy, as
    with a cable whose poles are changed, and where every other channel is silent (`SILENT_CHANNEL`), so that the mean
    would halve it and add the hum of an open input.
    """
    if levels.num_channels < 2 or not levels.mean_squares.any():
        return None
    loudest = int(levels.mean_squares.argmax())
    num_heard = levels.num_channels - len(_silent_channels(levels))
    return loudest if num_heard == 1 or levels.mean_energy < MIN_MEAN_ENERGY else None


def level_problems(levels: Levels) -> list[Problem]:
    """What of the levels a person should know."""
    problems = list[Problem]()
    silent = _silent_channels(levels)
    offset = float(levels.offsets[np.abs(levels.offsets).argmax()]) if levels.num_channels else 0.0
    if levels.num_beyond:
        detail = f"{levels.num_beyond} values, {levels.share_beyond:.2g} of all, peak {levels.peak:.6g}"
        problems.append(Problem(kind="beyond_full_scale", detail=detail))
    elif levels.share_flat >= _MIN_FLAT_SHARE:
        problems.append(Problem(kind="clipped", detail=f"{levels.share_flat:.2g} of all values stay at full scale"))
    if silent:
        problems.append(Problem(kind="silent_channel", detail=f"{silent} of {levels.num_channels}, counted from 0"))
    elif levels.num_channels > 1 and levels.mean_energy < MIN_MEAN_ENERGY:
        detail = f"the mean has {levels.mean_energy:.2g} of the energy of the channels"
        problems.append(Problem(kind="channels_cancel", detail=detail))
    if abs(offset) >= _MIN_OFFSET * max(1.0, levels.peak):
        problems.append(Problem(kind="constant_offset", detail=f"{offset:.3g} of full scale"))
    return problems


def _silent_channels(levels: Levels) -> list[int]:
    """Channels that are silent while another is not."""
    loudest = levels.mean_squares.max(initial=0)
    return [index for index, energy in enumerate(levels.mean_squares) if energy < SILENT_CHANNEL * loudest]
