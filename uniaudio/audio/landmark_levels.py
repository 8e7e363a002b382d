"""What both features of a fingerprint are made of: levels in the band of telephony, running maxima, and hashes.

levels(samples_N)       -> [T, F] float32 decibels, a frame every 8 ms, a bin every 15.6 Hz
"""

# Shapes: N samples, T frames, F frequency bins, C things to hash

import numpy as np

LANDMARK_RATE = 8_000
"""Hz; the one rate at which fingerprints are computed."""
FRAME_SAMPLES = 64
"""Samples at that rate (8 ms) between two frames."""
FRAME_BITS = 24
"""Lower bits of a value that hold the frame: 37 hours."""
HASH_BITS = 39
WINDOW = 512
"""Samples, 64 ms: tells the harmonics of a voice apart."""
LOW_BIN, HIGH_BIN = 5, 218
"""78 Hz, and 3,400 Hz, where telephony ends."""
FREQUENCY_REACH = 5
"""Bins of 15.6 Hz in which a peak has no louder neighbour."""
SILENCE_DB = -117.0
"""Level below the last bit of 16, where only dither and rounding of converters are."""
FLOOR_DB = 32.0
"""Levels this much below the loudest of their second are ignored, so that noise at 30 dB changes little."""
SECOND = 62
"""Frames before and after: one second around a frame."""


def levels(samples_N: np.ndarray) -> np.ndarray:
    """`[T, F]` float32 decibels; a sine at full scale has 0."""
    if samples_N.size < WINDOW:
        return np.zeros((0, HIGH_BIN + FREQUENCY_REACH + 1), np.float32)
    windows_TN = np.lib.stride_tricks.sliding_window_view(samples_N, WINDOW)[::FRAME_SAMPLES]
    window_N = np.hanning(WINDOW + 1)[:-1].astype(np.float32) / np.float32(WINDOW / 4)
    spectrum_TF = np.fft.rfft(windows_TN * window_N, axis=1)[:, : HIGH_BIN + FREQUENCY_REACH + 1]
    power_TF = np.square(spectrum_TF.real) + np.square(spectrum_TF.imag)
    levels_TF: np.ndarray = 10 * np.log10(np.maximum(power_TF, np.float32(1e-15)))
    # Rumble below the band hides no peak in it.
    levels_TF[:, : LOW_BIN - 1] = -150
    return levels_TF


def running_maximum(values_TX: np.ndarray, before: int, after: int) -> np.ndarray:
    """Maximum of `[T, X]` from `before` rows earlier to `after` rows later; -inf where there is no such row."""
    num_rows, width = len(values_TX), before + after + 1
    padded = np.full((num_rows + max(before, 0) + max(after, 0), values_TX.shape[1]), -np.inf, np.float32)
    padded[max(before, 0) : max(before, 0) + num_rows] = values_TX
    # Maxima of 1, 2, 4, ... rows; two overlapping ones cover any width.
    reach = 1
    while reach * 2 <= width:
        padded = np.maximum(padded[:-reach], padded[reach:])
        reach *= 2
    step = width - reach
    padded = np.maximum(padded[: len(padded) - step], padded[step:])
    start = max(before, 0) - before
    return padded[start : start + num_rows]


def octaves(levels_TF: np.ndarray, frames_P: np.ndarray, bins_P: np.ndarray) -> np.ndarray:
    """`[P]` float32 octaves above one bin of the peaks at these frames and bins: the top of a parabola through three levels tells a
    frequency to a tenth of a bin."""
    below_P, at_P, above_P = (levels_TF[frames_P, bins_P + step] for step in (-1, 0, 1))
    bend_P = np.minimum(below_P - 2 * at_P + above_P, np.float32(-1e-6))
    top_P = bins_P + np.clip(0.5 * (below_P - above_P) / bend_P, -0.5, 0.5)
    octaves_P: np.ndarray = np.log2(top_P).astype(np.float32)
    return octaves_P


def mix(values_C: np.ndarray) -> np.ndarray:
    """`[C]` int64 below 2^39, spread evenly: the finalizer of MurmurHash3."""
    mixed_C = values_C.astype(np.uint64)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed_C ^= mixed_C >> np.uint64(33)
        mixed_C *= np.uint64(factor)
    mixed_C ^= mixed_C >> np.uint64(33)
    return (mixed_C >> np.uint64(64 - HASH_BITS)).astype(np.int64)
