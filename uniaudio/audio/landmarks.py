"""The landmarks of a recording: numbers that its copies share, whatever codec, level, rate or start they come in.

Reads   mono audio at 8 kHz, block by block, or a whole array at any rate
Gives   int64 values, each a hash (39 bits) and the frame where it was heard (lower 24 bits, 8 ms each)

    landmarks(samples, 44_100)                  -> array([  1180591620717411, ..., 9223371761976868], dtype=int64)
    hashes(values), frames(values)              -> array([70368744, ...]), array([131, ...])

A peak is the loudest point of its neighbourhood in a spectrogram of 80 to 3,400 Hz, the band that telephony keeps (A. Wang,
An industrial-strength audio search algorithm, ISMIR 2003). Four peaks that follow each other closely make a landmark: the
frequency of the lowest, and how far the others lie above it and beside it. A lossy codec moves some peaks of a recording
and leaves most, so that of the many fours of a second some are the same in every copy. Steady tones, hum and digital silence
have no peaks in time and so no landmarks; what a tone has instead is in `tones`, whose values are below zero, as are those of `envelopes`,
which say how loud the first seconds are.

All choices depend on what is near and on the hash itself, never on where the recording starts. A landmark is kept where
its hash is small for its surroundings (as in MinHash), so that copies keep the same ones: some 32 in each second, and up to
128 in the first one, without which a sound of half a second would have too few.
"""

# Shapes: N samples, T frames, F frequency bins, P peaks, C sets of four peaks, K landmarks

import itertools
from typing import Any

import numpy as np
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.envelopes import envelope_values
from uniaudio.audio.landmark_levels import (
    FLOOR_DB,
    FRAME_BITS,
    FRAME_SAMPLES,
    FREQUENCY_REACH,
    HASH_BITS,
    HIGH_BIN,
    LANDMARK_RATE,
    LOW_BIN,
    SECOND,
    SILENCE_DB,
    WINDOW,
    levels,
    mix,
    octaves,
    running_maximum,
)
from uniaudio.audio.tones import LONGEST_FRAMES, tone_codes

__all__ = ["FRAME_BITS", "FRAME_SAMPLES", "HASH_BITS", "LANDMARK_RATE", "Landmarks", "frames", "hashes", "landmarks"]

_TIME_REACH = 5  # frames in which a peak has no louder neighbour
_CHUNK = 1_024  # new frames in one step (8 s)
_AHEAD = 7  # peaks of which the three others of a four are taken
_SPREAD = 120  # frames (1 s) between the first and the last of a four
# Cells of a hash: an octave has 6 for the lowest peak and 12 for the distances from it, so that 1 % of speed (a 70th
# of an octave) leaves most where they are; a distance in time has 4 frames.
_PITCH_CELLS, _RATIO_CELLS, _TIME_CELL = 6, 12, 4
_KEPT, _KEPT_AT_START = 32, 128  # landmarks in one second, and in the first
_DECIDED = 2_048  # frames (16 s) whose landmarks are chosen together: memory does not grow with the recording
_FOURS = np.array([(0, *others) for others in itertools.combinations(range(1, _AHEAD + 1), 3)])


class Landmarks:
    """Landmarks of one recording, given block by block. The values do not depend on how it was cut into blocks.

    Memory: forty seconds of spectrogram, and 8 bytes for each peak so far (some 2 MB an hour).
    """

    def __init__(self) -> None:
        # Zeros stand before the start, so that frame t is centred at sample 64 t.
        self._samples_N = np.zeros(WINDOW // 2, np.float32)
        self._levels_TF = np.zeros((0, HIGH_BIN + FREQUENCY_REACH + 1), np.float32)
        self._first_frame = 0  # of `_levels_TF`
        self._next_frame = 0  # the first one that was not searched for peaks
        self._peaks: list[tuple[np.ndarray, np.ndarray]] = []
        self._beginning: list[np.ndarray] = []  # levels of the first `LONGEST_FRAMES`

    def add(self, block_N: np.ndarray) -> None:
        """The next `[n]` samples, mono float at `LANDMARK_RATE`."""
        block_N = np.asarray(block_N, dtype=np.float32)
        if block_N.ndim != 1:
            raise UsageError(f"`block_N` must be mono, [n], but has shape {list(block_N.shape)}.")
        self._samples_N = np.concatenate([self._samples_N, block_N])
        step = _CHUNK * FRAME_SAMPLES
        while self._samples_N.size >= step + WINDOW:
            self._hear(self._samples_N[: step + WINDOW - FRAME_SAMPLES], last=False)
            self._samples_N = self._samples_N[step:]

    def finish(self) -> np.ndarray:
        """`[K]` int64, sorted (by hash, then by frame), each value once. Empty where nothing stands out."""
        self._hear(np.concatenate([self._samples_N, np.zeros(WINDOW // 2, np.float32)]), last=True)
        frames_P = np.concatenate([frames for frames, _ in self._peaks])
        pitch_P = np.concatenate([pitch for _, pitch in self._peaks])
        if frames_P.size and frames_P[-1] >> FRAME_BITS:
            raise UsageError(f"A recording must be shorter than 37 hours, but has {frames_P[-1]} frames of 8 ms.")
        firsts = range(0, int(frames_P[-1]) + 1 if frames_P.size else 0, _DECIDED)
        landmarks = [_landmarks_between(frames_P, pitch_P, first, first + _DECIDED) for first in firsts]
        beginning_TF = np.concatenate(self._beginning)[:LONGEST_FRAMES]
        tones = tone_codes(beginning_TF, sum(map(len, landmarks)))
        return np.unique(np.concatenate([envelope_values(beginning_TF), tones, *landmarks]))

    def _hear(self, samples_N: np.ndarray, *, last: bool) -> None:
        """Search frames for peaks, as far as a second is known behind them (to the end where it is the `last`)."""
        heard_TF = levels(samples_N)
        if self._first_frame + len(self._levels_TF) < LONGEST_FRAMES:
            self._beginning.append(heard_TF)
        self._levels_TF = np.concatenate([self._levels_TF, heard_TF])
        num_frames = len(self._levels_TF)
        until = num_frames if last else num_frames - SECOND
        frames_P, pitch_P = _peaks(self._levels_TF)
        start = self._next_frame - self._first_frame
        wanted_P = (frames_P >= start) & (frames_P < until)
        self._peaks.append((frames_P[wanted_P].astype(np.int32) + np.int32(self._first_frame), pitch_P[wanted_P]))
        self._next_frame = self._first_frame + max(until, start)
        unneeded = max(0, until - SECOND)
        self._levels_TF, self._first_frame = self._levels_TF[unneeded:], self._first_frame + unneeded


def landmarks(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """`[N]` or `[C, N]` float samples at `sample_rate` (Hz) -> `[K]` int64: the landmarks of the mean of the channels."""
    from uniaudio.audio.resample import resample

    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim not in (1, 2):
        raise UsageError(f"`samples` must be [N] or [C, N], but has shape {list(samples.shape)}.")
    mono_N = samples if samples.ndim == 1 else samples.mean(axis=0)
    recording = Landmarks()
    recording.add(resample(mono_N, sample_rate, LANDMARK_RATE))
    return recording.finish()


def hashes(values_K: np.ndarray) -> np.ndarray:
    """`[K]` int64 below 2^39, and below zero for tones: what copies share."""
    hashes_K: np.ndarray = values_K >> FRAME_BITS
    return hashes_K


def frames(values_K: np.ndarray) -> np.ndarray:
    """`[K]` int64: when it was heard, in frames of 8 ms."""
    frames_K: np.ndarray = values_K & ((1 << FRAME_BITS) - 1)
    return frames_K


def _peaks(levels_TF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[P]` frames in order, `[P]` float32 octaves above one bin: the loudest points of their neighbourhoods."""
    if not len(levels_TF):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    across_TF = running_maximum(levels_TF.T, FREQUENCY_REACH, FREQUENCY_REACH).T
    before_TF = running_maximum(across_TF, _TIME_REACH, -1)
    after_TF = running_maximum(across_TF, -1, _TIME_REACH)
    loudest_T = running_maximum(levels_TF.max(axis=1, keepdims=True), SECOND, SECOND)
    floor_T1 = np.maximum(loudest_T - FLOOR_DB, SILENCE_DB)
    # Of equally loud neighbours in time, as in a steady digital tone, the first is the peak.
    is_peak_TF = (levels_TF == across_TF) & (levels_TF > before_TF) & (levels_TF >= after_TF) & (levels_TF > floor_T1)
    is_peak_TF[:, :LOW_BIN] = False
    is_peak_TF[:, HIGH_BIN:] = False
    frames_P, bins_P = np.nonzero(is_peak_TF)
    return frames_P, octaves(levels_TF, frames_P, bins_P)


def _landmarks_between(frames_P: np.ndarray, pitch_P: np.ndarray, first: int, until: int) -> np.ndarray:
    """`[K]` values heard from frame `first` to before `until`."""
    low, high = np.searchsorted(frames_P, [first - SECOND - _SPREAD, until + SECOND + 1])
    fours_C4 = (np.arange(low, high)[:, None, None] + _FOURS).reshape(-1, 4)
    fours_C4 = fours_C4[fours_C4[:, 3] < frames_P.size]
    fours_C4 = fours_C4[frames_P[fours_C4[:, 3]] - frames_P[fours_C4[:, 0]] <= _SPREAD]
    # In the order of pitch: peaks at one time may change places in a copy, those of one pitch are rarer.
    order_C4 = np.argsort(pitch_P[fours_C4], axis=1, kind="stable")
    fours_C4 = np.take_along_axis(fours_C4, order_C4, axis=1)
    hashes_C = _hash(frames_P[fours_C4], pitch_P[fours_C4])
    heard_C = frames_P[fours_C4[:, 0]].astype(np.int64)
    sorted_C = np.sort(heard_C)
    around_C = np.searchsorted(sorted_C, heard_C + SECOND, "right") - np.searchsorted(sorted_C, heard_C - SECOND)
    share_C = np.where(heard_C < 2 * SECOND, _KEPT_AT_START, _KEPT) / np.maximum(around_C, 1)
    kept_C = (mix(hashes_C) / 2**HASH_BITS < share_C) & (heard_C >= first) & (heard_C < until)
    values_K: np.ndarray = hashes_C[kept_C] << FRAME_BITS | heard_C[kept_C]
    return values_K


def _hash(frames_C4: np.ndarray, pitch_C4: np.ndarray) -> np.ndarray:
    """`[C]` int64 below 2^39 of the cells that four peaks lie in, lowest first."""
    cells: list[Any] = [np.floor(pitch_C4[:, 0] * _PITCH_CELLS)]
    for other in (1, 2, 3):
        cells.append(np.rint((pitch_C4[:, other] - pitch_C4[:, other - 1]) * _RATIO_CELLS))
        cells.append(np.floor((frames_C4[:, other] - frames_C4[:, other - 1]) / _TIME_CELL + 0.5) + _SPREAD)
    packed_C = np.zeros(len(frames_C4), np.int64)
    for cell_C in cells:
        packed_C = packed_C << 9 | cell_C.astype(np.int64)
    return mix(packed_C)
