"""Wide-band PESQ (ITU-T P.862.2): predicted listening quality of degraded speech against its reference, about 1.0 to
4.64, higher is better.

Computed at 16 kHz by the `pesq` package. Long clips are scored in pieces of at most 20 s and averaged, because the
standard's code keeps room for 50 utterances only.
"""

import numpy as np
from uniaudio_schemas.extras import optional_packages

from uniaudio.audio.loudness import is_silent
from uniaudio.audio.resample import resample

_RATE = 16_000
_MIN_SAMPLES = _RATE // 4  # the standard's alignment needs a quarter of a second
_PIECE_SAMPLES = 20 * _RATE


def wide_band_pesq(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    """MOS-LQO of `[N]` float speech (the longer one is cut); None where it is too short, silent, or holds no
    utterance.
    """
    num_samples = min(len(reference), len(estimate))
    if not num_samples:
        return None
    target, output = (resample(part[:num_samples], sample_rate, _RATE) for part in (reference, estimate))
    num_pieces = max(1, -(-len(target) // _PIECE_SAMPLES))
    pairs = zip(np.array_split(target, num_pieces), np.array_split(output, num_pieces), strict=True)
    values = [value for pair in pairs if (value := _score(*pair)) is not None]
    return float(np.mean(values)) if values else None


def _score(target: np.ndarray, made: np.ndarray) -> float | None:
    with optional_packages():
        from pesq import PesqError, pesq

    if len(target) < _MIN_SAMPLES or is_silent(target) or not np.any(made):
        return None
    value = float(pesq(_RATE, target, made, "wb", on_error=PesqError.RETURN_VALUES))
    return value if value > 0 else None  # a negative value is the package's error code, such as "no utterance"
