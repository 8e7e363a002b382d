"""The tempo of music, where it has a clear one.

Onsets are rises of the energy in mel bands. Their envelope repeats at the beat: its autocorrelation has peaks at multiples of
the beat's period, its spectrum at multiples of the beat's rate, and the product of both (Peeters 2007) only where they
meet. Which of half, whole and double counts is a matter of taste; a preference for about 100 beats a minute decides.
"""

# Shapes: N samples, T frames of 10 ms, W samples of a window, F frequency bins, M mel bands, L lags, B tempos

from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.errors import UsageError

FRAME_RATE = 100
"""Frames of the envelope a second (Hz)."""
SLOWEST_BPM, FASTEST_BPM = 40.0, 240.0
MIN_PERIODICITY = 0.2
"""Least periodicity of a reliable tempo. Below it a tempo is a guess."""
_WINDOW_S = 0.064
_NUM_MELS = 40
_COMPRESSION = 10.0
"""Factor on magnitudes relative to the clip's mean, before the logarithm. At 1,000 soft notes between the beats rose as much as
the beats."""
_MIN_S = 4.0
"""Four beats at 60: less says nothing about a period."""
_STEP = 0.004
"""Relative step between the tempos that are tried."""
_PREFERRED_BPM, _PREFERENCE_OCTAVES = 100.0, 0.6
"""The middle of the octave from 71 to 141 in which people tap to most music (van Noorden and Moelants 1999), and its width.
Of 28 pieces made for a stated tempo all were found up to the octave, and 68 % in it."""
_FRAMES_A_BLOCK = 3_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Tempo:
    bpm: float
    periodicity: float
    """0 to 1: how much of the envelope comes again a beat later."""


def onset_envelope(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """`[N]` mono -> `[ceil(N * 100 / sample_rate)]` float64, 0 or more: how much starts in each 10 ms."""
    if np.ndim(samples) != 1:
        raise UsageError(f"`samples` must be [N], but is {np.shape(samples)}.")
    from uniaudio.audio.mel import mel_bands

    num_frames = -(-len(samples) * FRAME_RATE // sample_rate)
    size = 2 * round(_WINDOW_S * sample_rate / 2)
    scale = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    if scale == 0.0:
        return np.zeros(num_frames)
    padded_N = np.pad(np.asarray(samples / scale, np.float32), (size // 2, size))
    window_W = np.hanning(size + 1)[:-1].astype(np.float32) / size
    bands_FM = mel_bands(size // 2 + 1, _NUM_MELS, sample_rate, scale="htk").numpy()
    starts_T = (np.arange(num_frames) * sample_rate // FRAME_RATE).astype(np.int64)
    mels_TM = np.concatenate(
        [
            np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded_N, size)[part] * window_W)) @ bands_FM
            for part in np.array_split(starts_T, -(-num_frames // _FRAMES_A_BLOCK))
        ]
    )
    levels_TM = np.log1p(_COMPRESSION * mels_TM)
    # Against two frames before: an attack takes longer than one.
    rises_T = np.maximum(levels_TM[2:] - levels_TM[:-2], 0).mean(axis=1, dtype=np.float64)
    return np.concatenate([np.zeros(min(2, num_frames)), rises_T])


def estimate_tempo(envelope: np.ndarray) -> Tempo | None:
    """Tempo of an `onset_envelope` (`[T]`); None where it is shorter than 4 s or nothing in it repeats."""
    num_frames = len(envelope)
    centred_T = envelope - envelope.mean() if num_frames else envelope
    if num_frames < _MIN_S * FRAME_RATE or not centred_T.any():
        return None
    size = 1 << (2 * num_frames).bit_length()
    power_F = np.abs(np.fft.rfft(centred_T, size)) ** 2
    correlation_L = np.fft.irfft(power_F, size)[:num_frames]
    correlation_L = correlation_L / correlation_L[0]
    num_tempos = round(np.log(FASTEST_BPM / SLOWEST_BPM) / _STEP)
    bpm_B = SLOWEST_BPM * np.exp(_STEP * np.arange(num_tempos))
    repeats_B = _repeats(correlation_L, bpm_B)
    rate_B = np.sqrt(_at(power_F, bpm_B / 60 * size / FRAME_RATE))
    preference_B = np.exp(-0.5 * (np.log2(bpm_B / _PREFERRED_BPM) / _PREFERENCE_OCTAVES) ** 2)
    best = int(np.argmax(repeats_B * rate_B * preference_B))
    if repeats_B[best] <= 0:
        return None
    return Tempo(bpm=float(bpm_B[best]), periodicity=float(min(repeats_B[best], 1.0)))


def _repeats(correlation_L: np.ndarray, bpm_B: np.ndarray) -> np.ndarray:
    """`[B]` mean of the autocorrelation at one, two, … four periods, as far as half the clip reaches; 0 or more. One period alone
    missed the beat of twice as many cuts.
    """
    period_B = 60 * FRAME_RATE / bpm_B
    total_B, weight_B = np.zeros_like(period_B), np.zeros_like(period_B)
    for multiple in range(1, 5):
        within_B = multiple * period_B < len(correlation_L) / 2
        total_B += np.where(within_B, _at(correlation_L, np.where(within_B, multiple * period_B, 0)), 0)
        weight_B += within_B
    return np.maximum(total_B / np.maximum(weight_B, 1), 0)


def _at(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return np.asarray(np.interp(positions, np.arange(len(values)), values))
