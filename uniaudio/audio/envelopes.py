"""The envelope of a recording's beginning: how loud seven bands are every 32 ms. What makes sure of a copy that few landmarks speak for.

Reads   `[T, F]` levels of a recording, a frame every 8 ms
Gives   int64 values below zero, one for each 32 ms of the first 4 s, that neither landmarks nor codes of tones can be

    envelope_values(levels_TF)                              -> array([-9223…, …], dtype=int64)
    likeness(envelope_of(a), envelope_of(b), 61, 1.0)       -> 0.97 where b starts 61 frames behind the start of a

A codec, a telephone line, a converter of rates and a little noise leave the level of a band within some decibels, gain moves all levels alike, and so
two copies laid over each other where their landmarks agree differ by little over all of their common part. Two takes, two strokes of one drum and
two fades do not: their levels go up and down at other times or in other bands.
"""

# Shapes: T frames of 8 ms, S steps of 32 ms, F frequency bins, B bands, K values of a fingerprint

import numpy as np

from uniaudio.audio.landmark_levels import FRAME_BITS, HIGH_BIN, LOW_BIN, SILENCE_DB

ENVELOPE_FRAMES = 500
"""4 s: what is behind them has landmarks enough."""
STEP_FRAMES = 4
_IS_ENVELOPE = np.int64(1 << (FRAME_BITS - 1))
"""The highest bit of a frame: codes of tones have none behind 30 s."""
_LOWEST = np.int64(-(1 << 63))
_NUM_BANDS, _LEVEL_BITS, _STEP_DB = 7, 5, 3.0
_EDGES = np.rint(np.geomspace(LOW_BIN, HIGH_BIN, _NUM_BANDS + 1)).astype(int)
_RANGE_DB = 30.0
"""What is this much below the loudest of the common part is not compared: noise at 30 dB, and the floors of codecs."""
_LEAST_MOVEMENT_DB = 4.0
_FEWEST_STEPS, _LEAST_SHARE = 4, 0.5
"""Steps that two envelopes must have in common, and the share of the shorter one."""


def envelope_values(levels_TF: np.ndarray) -> np.ndarray:
    """`[S]` int64 below zero, sorted; empty where nothing is heard."""
    num_steps = min(len(levels_TF), ENVELOPE_FRAMES) // STEP_FRAMES
    if not num_steps or levels_TF.max() <= SILENCE_DB:
        return np.zeros(0, np.int64)
    power_TF = 10 ** (levels_TF[: num_steps * STEP_FRAMES] / 10)
    power_SF = power_TF.reshape(num_steps, STEP_FRAMES, -1).mean(axis=1)
    power_SB = np.add.reduceat(power_SF, _EDGES, axis=1)[:, :_NUM_BANDS]
    # Beside the loudest one, which gain changes as much.
    level_SB = np.rint(10 * np.log10(np.maximum(power_SB / power_SB.max(), 1e-12)) / _STEP_DB) + (1 << _LEVEL_BITS) - 1
    cell_SB = np.clip(level_SB, 0, (1 << _LEVEL_BITS) - 1).astype(np.int64)
    packed_S = (cell_SB << (_LEVEL_BITS * np.arange(_NUM_BANDS))).sum(axis=1)
    return np.sort((packed_S << FRAME_BITS | _IS_ENVELOPE | np.arange(num_steps)) + _LOWEST)


def is_envelope(values_K: np.ndarray) -> np.ndarray:
    """`[K]` bool: which values of a fingerprint are of its envelope."""
    found_K: np.ndarray = (values_K < 0) & (values_K & _IS_ENVELOPE != 0)
    return found_K


def envelope_of(values_S: np.ndarray) -> np.ndarray:
    """`[S, B]` float32 decibels beside the loudest one; the inverse of `envelope_values` but for the rounding."""
    in_time_S = values_S[np.argsort(values_S & (_IS_ENVELOPE - 1), kind="stable")]
    packed_S = (in_time_S - _LOWEST) >> FRAME_BITS
    cell_SB = packed_S[:, None] >> (_LEVEL_BITS * np.arange(_NUM_BANDS)) & ((1 << _LEVEL_BITS) - 1)
    level_SB: np.ndarray = ((cell_SB - (1 << _LEVEL_BITS) + 1) * _STEP_DB).astype(np.float32)
    return level_SB


def likeness(a_SB: np.ndarray, b_SB: np.ndarray, offset_frames: float, speed: float) -> float:
    """-1 … 1: how well the levels of both agree where b starts `offset_frames` behind the start of a, each 8 ms of b as long as `speed` times
    as much of a. The smaller of two correlations: of all levels, and of what moves in each band. 0 where they have too little in common, or
    where little moves: two beeps of one pitch are as alike as two copies."""
    # Where each step of b lies in a, and which of a's steps lie around it.
    place_S = (offset_frames + speed * STEP_FRAMES * np.arange(len(b_SB))) / STEP_FRAMES
    is_common_S = (place_S >= 0) & (place_S <= len(a_SB) - 1)
    if is_common_S.sum() < max(_FEWEST_STEPS, _LEAST_SHARE * min(len(a_SB), len(b_SB))):
        return 0.0
    place_S, b_SB = place_S[is_common_S], b_SB[is_common_S]
    low_S = np.minimum(np.floor(place_S).astype(int), len(a_SB) - 2)
    share_S1 = (place_S - low_S)[:, None]
    a_SB = a_SB[low_S] * (1 - share_S1) + a_SB[low_S + 1] * share_S1
    floor_a, floor_b = a_SB.max() - _RANGE_DB, b_SB.max() - _RANGE_DB
    is_heard_SB = (a_SB > floor_a) | (b_SB > floor_b)
    levels = [np.maximum(a_SB, floor_a), np.maximum(b_SB, floor_b)]
    num_heard_B = np.maximum(is_heard_SB.sum(axis=0), 1)
    moving = [(one_SB - (one_SB * is_heard_SB).sum(axis=0) / num_heard_B)[is_heard_SB] for one_SB in levels]
    if min(one.std() for one in moving) < _LEAST_MOVEMENT_DB:
        return 0.0
    return min(_correlation(*(one_SB[is_heard_SB] for one_SB in levels)), _correlation(*moving))


def _correlation(left_N: np.ndarray, right_N: np.ndarray) -> float:
    return float(np.corrcoef(left_N, right_N)[0, 1])
