"""The codes of tones: what copies of a beep, a chime or a single knock share, which have too few peaks for landmarks.

Reads   `[T, F]` levels of a recording's first 30 s
Gives   int64 values below zero, each a hash and the frame where it was heard, as landmarks are

A code is the frequency of a partial and how loud it is some frames earlier and later than now, in steps of 5 dB: attacks, decays and the
lengths of notes, whatever the level and the start of the recording. Two notes of one pitch that fade at different rates differ in most of their
codes; two fades of noise have none. Frequencies lie in two grids of cells that overlap by half, so that 1 % of speed leaves one of them.

Only what is made of tones has codes: recordings in most of whose frames two partials hold most of the power, those that last no longer
than a knock, and those that have hardly a landmark. Each code stands where it is heard first, so that a minute of hum has few, and a recording has 256 at most.
"""

# Shapes: T frames, F frequency bins, P frames in which a partial sounds, K codes

import numpy as np

from uniaudio.audio.landmark_levels import (
    FLOOR_DB,
    FRAME_BITS,
    HIGH_BIN,
    LOW_BIN,
    SECOND,
    SILENCE_DB,
    mix,
    octaves,
    running_maximum,
)

LONGEST_FRAMES = 3_750
"""30 s: what is longer has landmarks."""
_TONES = np.int64(-(1 << 63))
"""Added to a value, which it makes negative without changing its frame."""
_AROUND = ((-32, -12, 12, 32), (-64, -20, 20, 64))  # frames of 8 ms: attacks, and notes
_STEP_DB, _RANGE_DB = 5.0, 30.0
_PITCH_CELLS = 30  # an octave: 1 % of speed is less than half of a cell
_PARTIAL_REACH = 2  # bins of a partial to either side, as wide as the window's main lobe
_NUM_PARTIALS = 2
_SECOND_DB = 12.0  # a second partial is heard where it is at most this much below the first
_SHARE, _FRAMES_SHARE = 0.7, 0.5  # of the power that partials hold, and of the frames in which they do
_KNOCK_FRAMES, _FEW_LANDMARKS = 40, 16  # 0.3 s; a second of speech has a hundred
_MOST_CODES = 256  # those of the smallest hashes (as in MinHash), so that copies keep the same ones
_LEVELS, _CELLS = 32, 1_024  # more than there are


def tone_codes(levels_TF: np.ndarray, num_landmarks: int) -> np.ndarray:
    """`[K]` int64 below zero, sorted, each hash once, of a recording with so many landmarks. Empty where it is not made of tones."""
    none = np.zeros(0, np.int64)
    if not len(levels_TF):
        return none
    loudest_T1 = running_maximum(levels_TF.max(axis=1, keepdims=True), SECOND, SECOND)
    floor_T1 = np.maximum(loudest_T1 - FLOOR_DB, SILENCE_DB)
    is_heard_T = (levels_TF > floor_T1).any(axis=1)
    bins_TP, power_TP, share_T = _partials(levels_TF, floor_T1)
    is_any = is_heard_T.sum() <= _KNOCK_FRAMES or num_landmarks < _FEW_LANDMARKS
    is_tonal_T = is_heard_T if is_any else is_heard_T & (share_T >= _SHARE)
    if not is_heard_T.any() or is_tonal_T.sum() < _FRAMES_SHARE * is_heard_T.sum():
        return none
    near_TF = running_maximum(levels_TF.T, _PARTIAL_REACH, _PARTIAL_REACH).T
    second = 10 ** (-_SECOND_DB / 10)
    codes = []
    for number in range(_NUM_PARTIALS):
        is_partial_T = is_tonal_T & (power_TP[:, number] > second * power_TP[:, 0])
        frames_P = np.flatnonzero(is_partial_T)
        bins_P = bins_TP[frames_P, number]
        pitch_P = octaves(levels_TF, frames_P, bins_P) * _PITCH_CELLS
        for kind, around in enumerate(_AROUND):
            shape_P = _shape(levels_TF, near_TF, floor_T1, frames_P, bins_P, around)
            for grid in (0, 1):
                cell_P = np.floor(pitch_P + grid / 2).astype(np.int64)
                hashes_P = mix(((shape_P * _CELLS + cell_P) * 2 + grid) * len(_AROUND) + kind)
                codes.append(hashes_P << FRAME_BITS | frames_P)
    values_K = np.unique(np.concatenate(codes))
    is_first_K = np.diff(values_K >> FRAME_BITS, prepend=-1) != 0
    kept_K: np.ndarray = values_K[is_first_K][:_MOST_CODES] + _TONES
    return kept_K


def _partials(levels_TF: np.ndarray, floor_T1: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The loudest partials of each frame: `[T, 2]` bins, `[T, 2]` power, 0 where there is none, and `[T]` their share of the frame's."""
    power_TF = 10 ** (levels_TF / 10)
    around_TF = np.pad(power_TF, ((0, 0), (_PARTIAL_REACH, _PARTIAL_REACH)))
    width = 2 * _PARTIAL_REACH + 1
    power_of_partial_TF = np.lib.stride_tricks.sliding_window_view(around_TF, width, axis=1).sum(axis=-1)
    before_TF = running_maximum(levels_TF.T, _PARTIAL_REACH, -1).T
    after_TF = running_maximum(levels_TF.T, -1, _PARTIAL_REACH).T
    is_partial_TF = (levels_TF > before_TF) & (levels_TF >= after_TF) & (levels_TF > floor_T1)
    is_partial_TF[:, :LOW_BIN] = False
    is_partial_TF[:, HIGH_BIN:] = False
    power_of_partial_TF = np.where(is_partial_TF, power_of_partial_TF, 0)
    bins_TP = np.argsort(-power_of_partial_TF, axis=1, kind="stable")[:, :_NUM_PARTIALS]
    power_TP = np.take_along_axis(power_of_partial_TF, bins_TP, axis=1)
    total_T = np.maximum(power_TF[:, LOW_BIN:HIGH_BIN].sum(axis=1), np.float32(1e-20))
    return bins_TP, power_TP, power_TP.sum(axis=1) / total_T


def _shape(
    levels_TF: np.ndarray,
    near_TF: np.ndarray,
    floor_T1: np.ndarray,
    frames_P: np.ndarray,
    bins_P: np.ndarray,
    around: tuple[int, ...],
) -> np.ndarray:
    """`[P]` int64: how loud each partial is `around` its frame, beside what it is now."""
    now_P, floor_P = levels_TF[frames_P, bins_P], floor_T1[frames_P, 0]
    shape_P = np.zeros(frames_P.size, np.int64)
    for step in around:
        place_P = frames_P + step
        is_there_P = (place_P >= 0) & (place_P < len(levels_TF))
        then_P = np.where(is_there_P, near_TF[np.clip(place_P, 0, len(levels_TF) - 1), bins_P], -np.inf)
        change_P = np.clip(np.maximum(then_P, floor_P) - now_P, -_RANGE_DB, _RANGE_DB)
        shape_P = shape_P * _LEVELS + np.rint((change_P + _RANGE_DB) / _STEP_DB).astype(np.int64)
    return shape_P
