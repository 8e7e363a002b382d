"""How far what is spoken is from the recording that an instruction describes: in the height of the voice and in how much it moves.

Both take `[N]` float speech of the same words, at one rate, of any lengths; None where either has less than 0.1 s of voice.
"""

import math

import numpy as np

from uniaudio.audio.pitch import FRAME_RATE, track_pitch

_LEAST_VOICED = FRAME_RATE // 10


def pitch_error(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    """Difference between the median pitches, in semitones: 0 is equal, 12 is an octave higher or lower."""
    first, second = _voiced_hz(reference, sample_rate), _voiced_hz(estimate, sample_rate)
    if first is None or second is None:
        return None
    return 12 * abs(math.log2(float(np.median(second)) / float(np.median(first))))


def intonation_error(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    """Difference between the standard deviations of pitch over time, in semitones: a flat voice beside a lively one."""
    first, second = _voiced_hz(reference, sample_rate), _voiced_hz(estimate, sample_rate)
    if first is None or second is None:
        return None
    return 12 * abs(float(np.std(np.log2(second)) - np.std(np.log2(first))))


def _voiced_hz(samples: np.ndarray, sample_rate: int) -> np.ndarray | None:
    hertz = track_pitch(np.asarray(samples, np.float32), sample_rate).hertz
    voiced = hertz[hertz > 0].astype(np.float64)
    return voiced if len(voiced) >= _LEAST_VOICED else None
