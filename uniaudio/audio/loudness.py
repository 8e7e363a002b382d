"""Integrated loudness after ITU-R BS.1770-4, in numpy, and normalization to a target.

The two filters of the recommendation are given for 48 kHz; their analogue prototypes are designed again at any rate.
They run as products in the frequency domain, block by block, so that no compiled recursive filter is needed and
memory does not grow with the clip.
"""

import math
from functools import lru_cache

import numpy as np
from uniaudio_schemas.errors import UsageError

_SHELF = (
    1681.974450955533,
    3.999843853973347,
    0.7071752369554196,
)  # Hz, dB, Q: prototype of the recommendation's stage 1
_HIGH_PASS = (38.13547087602444, 0.5003270373238773)  # Hz, Q: stage 2
_OFFSET = -0.691  # dB; makes a 997 Hz full-scale sine on one channel -3.01 LUFS
_ABSOLUTE_GATE, _RELATIVE_GATE = -70.0, -10.0  # LUFS, LU
_CHANNEL_WEIGHTS = {
    5: (1, 1, 1, 1.41, 1.41),
    6: (1, 1, 1, 0, 1.41, 1.41),
}  # WAV order: L R C (LFE) Ls Rs; others weigh 1
_BLOCK_S, _TAIL_S = 20, 1
SILENCE_MEAN_SQUARE = 1e-6
"""Mean square below which a clip is not normalized (the released trainer skips such clips; spec/codec.md 4.6)."""
PEAK = 0.95
"""A peak that would reach full scale is scaled down to this."""


def integrated_loudness(samples: np.ndarray, sample_rate: int) -> float | None:
    """LUFS of `[C, N]` or `[N]` float samples (full scale 1); None where every block lies below the absolute gate of
    -70 LUFS.

    A clip shorter than one gating block (0.4 s) is measured as a single block.
    """
    samples_CN = np.atleast_2d(np.asarray(samples))
    if samples_CN.ndim != 2 or samples_CN.shape[1] == 0:
        raise UsageError(f"`samples` must be [C, N] with N > 0, but is {samples_CN.shape}.")
    power_B = _block_power(samples_CN, sample_rate)
    with np.errstate(divide="ignore"):
        gated_B = power_B[_to_lufs(power_B) > _ABSOLUTE_GATE]
        if not gated_B.size:
            return None
        gated_B = gated_B[_to_lufs(gated_B) > _to_lufs(gated_B.mean()) + _RELATIVE_GATE]
    return float(_to_lufs(gated_B.mean()))


def is_silent(samples: np.ndarray) -> bool:
    return float(np.mean(np.square(samples, dtype=np.float64))) < SILENCE_MEAN_SQUARE if samples.size else True


def limit_peak(samples: np.ndarray) -> np.ndarray:
    """Scaled to a peak of 0.95 where |x| reaches 1, else as it is."""
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * np.float32(PEAK / peak) if peak >= 1.0 else samples


def _to_lufs(power: np.ndarray) -> np.ndarray:
    lufs: np.ndarray = _OFFSET + 10 * np.log10(power)
    return lufs


def _block_power(samples_CN: np.ndarray, sample_rate: int) -> np.ndarray:
    """Weighted mean squares of blocks of 0.4 s, one each 0.1 s."""
    weights = np.array(_CHANNEL_WEIGHTS.get(samples_CN.shape[0], (1,) * samples_CN.shape[0]), dtype=np.float64)
    num_samples = samples_CN.shape[1]
    block, hop = round(0.4 * sample_rate), round(0.1 * sample_rate)
    energy = np.zeros(num_samples + 1)
    for first in range(0, num_samples, _BLOCK_S * sample_rate):
        last = min(num_samples, first + _BLOCK_S * sample_rate)
        history = min(first, _TAIL_S * sample_rate)
        weighted = _k_weighted(samples_CN[:, first - history : last], sample_rate)[:, history:]
        np.cumsum(weights @ np.square(weighted), out=energy[first + 1 : last + 1])
        energy[first + 1 : last + 1] += energy[first]
    if num_samples < block:
        return np.array([energy[-1] / num_samples])
    starts = np.arange(0, num_samples - block + 1, hop)
    power: np.ndarray = np.maximum(energy[starts + block] - energy[starts], 0.0) / block
    return power


def _k_weighted(samples_CN: np.ndarray, sample_rate: int) -> np.ndarray:
    # The zeros of the padding take the filters' tail, which would else wrap around to the start.
    size = 1 << math.ceil(math.log2(samples_CN.shape[1] + _TAIL_S * sample_rate))
    spectrum = np.fft.rfft(samples_CN.astype(np.float64), size) * _k_response(sample_rate, size)
    return np.fft.irfft(spectrum, size)[:, : samples_CN.shape[1]]


@lru_cache(maxsize=4)
def _k_response(sample_rate: int, size: int) -> np.ndarray:
    delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response: np.ndarray = np.ones_like(delay)
    for numerator, denominator in (_shelf(sample_rate), _high_pass(sample_rate)):
        response *= np.polyval(numerator[::-1], delay) / np.polyval(denominator[::-1], delay)
    return response


def _shelf(sample_rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    frequency, gain_db, quality = _SHELF
    k, high = math.tan(math.pi * frequency / sample_rate), 10 ** (gain_db / 20)
    band = high**0.4996667741545416  # exponent of the prototype's middle term, fitted to the 48 kHz table
    scale = 1 + k / quality + k * k
    numerator = (
        (high + band * k / quality + k * k) / scale,
        2 * (k * k - high) / scale,
        (high - band * k / quality + k * k) / scale,
    )
    return numerator, (1.0, 2 * (k * k - 1) / scale, (1 - k / quality + k * k) / scale)


def _high_pass(sample_rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    frequency, quality = _HIGH_PASS
    k = math.tan(math.pi * frequency / sample_rate)
    scale = 1 + k / quality + k * k
    return (1.0, -2.0, 1.0), (1.0, 2 * (k * k - 1) / scale, (1 - k / quality + k * k) / scale)
