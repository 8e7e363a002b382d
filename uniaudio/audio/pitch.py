"""The fundamental frequency of a voice, frame by frame.

After Boersma (1993): the autocorrelation of a windowed frame, divided by that of the window, has a peak at each candidate
period; the best path through the candidates of all frames pays for jumps in pitch and for changes between voiced and
unvoiced. The constants are those that the paper and its program use for speech, but for the lowest and highest pitch.
"""

# Shapes: N samples, T frames, W samples of a window, L lags, K candidates (the first of them: unvoiced)

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from uniaudio_schemas.errors import UsageError

FRAME_RATE = 100
"""Hz."""
LOWEST_HZ, HIGHEST_HZ = 60.0, 600.0
"""A creaking man's voice, and a child's shout."""
_PERIODS = 3  # of the lowest pitch in a window
_NUM_CANDIDATES = 6
_SILENCE, _VOICING, _OCTAVE = 0.03, 0.45, 0.01
_OCTAVE_JUMP, _VOICING_CHANGE = 0.35, 0.14
_FRAMES_A_BLOCK = 3_000
"""Frames computed at once, so that memory does not grow with the clip: spectra of a block take 13 MB."""
_MIN_RATE = 4 * HIGHEST_HZ


@dataclass(frozen=True, kw_only=True, slots=True)
class PitchTrack:
    """One value for each 10 ms; a frame's middle lies at the middle of its 10 ms."""

    hertz: np.ndarray
    """`[T]` float32; 0 where the frame is unvoiced."""
    periodicity: np.ndarray
    """`[T]` float32, 0 to 1: the autocorrelation at the period of the path; of unvoiced frames, that of the best candidate."""


def track_pitch(samples: np.ndarray, sample_rate: int) -> PitchTrack:
    """`[N]` mono float samples -> the pitch of `ceil(N * 100 / sample_rate)` frames."""
    if np.ndim(samples) != 1:
        raise UsageError(f"`samples` must be [N], but is {np.shape(samples)}.")
    if sample_rate < _MIN_RATE:
        raise UsageError(f"`sample_rate` must be {_MIN_RATE:.0f} or more, but is {sample_rate}.")
    num_frames = -(-len(samples) * FRAME_RATE // sample_rate)
    loudest = float(np.abs(samples - np.mean(samples)).max(initial=0.0)) if len(samples) else 0.0
    if loudest == 0.0:
        return PitchTrack(hertz=np.zeros(num_frames, np.float32), periodicity=np.zeros(num_frames, np.float32))
    blocks = [
        _candidates(samples, sample_rate, np.arange(first, min(first + _FRAMES_A_BLOCK, num_frames)), loudest)
        for first in range(0, num_frames, _FRAMES_A_BLOCK)
    ]
    hertz_TK, strength_TK, height_TK = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    path_T = _best_path(hertz_TK, strength_TK)
    frames_T = np.arange(num_frames)
    periodicity_T = np.where(path_T > 0, height_TK[frames_T, path_T], height_TK.max(axis=1))
    return PitchTrack(hertz=hertz_TK[frames_T, path_T], periodicity=periodicity_T)


def _candidates(
    samples_N: np.ndarray, sample_rate: int, frames_T: np.ndarray, loudest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates of each frame: pitch (0: unvoiced), strength, and height of the autocorrelation, `[T, K]` float32 each."""
    frames_TW = _frames(samples_N, sample_rate, frames_T)
    # How loud a frame is counts in its middle period only: its window reaches into its neighbours.
    period = frames_TW.shape[1] // _PERIODS
    peak_T = np.abs(frames_TW[:, period : frames_TW.shape[1] - period]).max(axis=1)
    # One lag more on either side, to see that a peak is one.
    shortest, longest = int(sample_rate / HIGHEST_HZ), int(np.ceil(sample_rate / LOWEST_HZ))
    correlation_TL = _autocorrelation(frames_TW, longest + 1)[:, shortest - 1 :]
    before_TL, middle_TL, after_TL = correlation_TL[:, :-2], correlation_TL[:, 1:-1], correlation_TL[:, 2:]
    is_peak_TL = (middle_TL > before_TL) & (middle_TL >= after_TL) & (middle_TL > 0.5 * _VOICING)
    cost_L = _OCTAVE * np.log2(LOWEST_HZ * np.arange(shortest, longest + 1) / sample_rate)
    order_TL = np.where(is_peak_TL, middle_TL - cost_L.astype(np.float32), -np.inf)
    best_TK = np.argpartition(-order_TL, _NUM_CANDIDATES - 1, axis=1)[:, : _NUM_CANDIDATES - 1]
    before_TK, middle_TK, after_TK = (np.take_along_axis(part, best_TK, 1) for part in (before_TL, middle_TL, after_TL))
    there_TK = np.take_along_axis(is_peak_TL, best_TK, 1)
    # The vertex of the parabola through a peak and its neighbours.
    bend_TK = np.where(there_TK, before_TK - 2 * middle_TK + after_TK, -1)
    shift_TK = 0.5 * (before_TK - after_TK) / bend_TK
    height_TK = np.where(there_TK, middle_TK - 0.25 * (before_TK - after_TK) * shift_TK, 0)
    height_TK = np.minimum(height_TK, 1)
    hertz_TK = sample_rate / (best_TK + shortest + shift_TK)
    there_TK &= (hertz_TK >= LOWEST_HZ) & (hertz_TK <= HIGHEST_HZ)
    strength_TK = np.where(there_TK, height_TK - _OCTAVE * np.log2(LOWEST_HZ / hertz_TK), -np.inf)
    quiet_T = np.maximum(0, 2 - (peak_T / loudest) * (1 + _VOICING) / _SILENCE)
    unvoiced_T1 = (_VOICING + quiet_T)[:, None]
    zeros_T1 = np.zeros_like(unvoiced_T1)
    hertz_TK = np.where(there_TK, hertz_TK, 0)
    parts = ((zeros_T1, hertz_TK), (unvoiced_T1, strength_TK), (zeros_T1, height_TK))
    hertz, strength, height = (np.concatenate(pair, axis=1).astype(np.float32) for pair in parts)
    return hertz, strength, height


def _frames(samples_N: np.ndarray, sample_rate: int, frames_T: np.ndarray) -> np.ndarray:
    """`[T, W]` float32 around the middles of frames, without their means; beyond the clip's ends lie zeros."""
    size = 2 * round(_PERIODS * sample_rate / LOWEST_HZ / 2)
    starts_T = ((frames_T + 0.5) * sample_rate / FRAME_RATE).astype(np.int64) - size // 2
    first, last = int(starts_T[0]), int(starts_T[-1]) + size
    inside = samples_N[max(first, 0) : max(last, 0)]
    padded = np.zeros(last - first, np.float32)
    padded[max(-first, 0) : max(-first, 0) + len(inside)] = inside
    frames_TW = np.lib.stride_tricks.sliding_window_view(padded, size)[starts_T - first]
    return np.asarray(frames_TW - frames_TW.mean(axis=1, keepdims=True), np.float32)


def _autocorrelation(frames_TW: np.ndarray, num_lags: int) -> np.ndarray:
    """`[T, num_lags + 1]`, 1 at lag 0: of the windowed frames, over that of the window."""
    window_W, window_L, size = _window(frames_TW.shape[1], num_lags)
    power_TF = np.abs(np.fft.rfft(frames_TW * window_W, size)) ** 2
    correlation_TL = np.fft.irfft(power_TF, size)[:, : num_lags + 1]
    return np.asarray(correlation_TL / np.maximum(correlation_TL[:, :1], 1e-20) / window_L, np.float32)


@lru_cache(maxsize=8)
def _window(size: int, num_lags: int) -> tuple[np.ndarray, np.ndarray, int]:
    """A Hann window, its autocorrelation up to `num_lags`, and the size of transform at which lags do not wrap around."""
    window_W = np.hanning(size + 2)[1:-1]
    transform = -(-(size + num_lags) // 128) * 128
    correlation = np.fft.irfft(np.abs(np.fft.rfft(window_W, transform)) ** 2, transform)[: num_lags + 1]
    return window_W.astype(np.float32), (correlation / correlation[0]).astype(np.float32), transform


def _best_path(hertz_TK: np.ndarray, strength_TK: np.ndarray) -> np.ndarray:
    """`[T]` the candidate of each frame, by dynamic programming."""
    voiced_TK = hertz_TK > 0
    octaves_TK = np.log2(np.where(voiced_TK, hertz_TK, 1))
    jump_TKK = _OCTAVE_JUMP * np.abs(octaves_TK[1:, :, None] - octaves_TK[:-1, None, :])
    both_TKK = voiced_TK[1:, :, None] & voiced_TK[:-1, None, :]
    change_TKK = voiced_TK[1:, :, None] ^ voiced_TK[:-1, None, :]
    # Costs of a step, from the second candidate to the first.
    step_TKK = np.where(both_TKK, jump_TKK, 0) + _VOICING_CHANGE * change_TKK
    score_K = strength_TK[0]
    came_from_TK = np.zeros(hertz_TK.shape, np.int64)
    for frame in range(1, len(hertz_TK)):
        reached_KK = score_K - step_TKK[frame - 1]
        came_from_TK[frame] = reached_KK.argmax(axis=1)
        score_K = reached_KK.max(axis=1) + strength_TK[frame]
    path_T = np.zeros(len(hertz_TK), np.int64)
    path_T[-1] = score_K.argmax()
    for frame in range(len(hertz_TK) - 1, 0, -1):
        path_T[frame - 1] = came_from_TK[frame, path_T[frame]]
    return path_T
