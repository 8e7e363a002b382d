"""Another voice without a model: pitch and formants shifted together, as by a longer or shorter vocal tract.

A phase vocoder (Flanagan and Golden, 1966) stretches the time by `ratio`, then a change of the sampling rate undoes that and
multiplies all frequencies. Tempo, words and level stay.
"""

# Shapes: N samples, F frequencies, T frames, S frames of the stretched signal

import math

import numpy as np
import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.resample import resample_tensor

_WINDOW, _HOP = 1024, 256
"""Samples at 24 kHz: 43 ms, several periods of the lowest voice, and a quarter of it."""
_STEPS = 100
"""A ratio is rounded to hundredths, so that the change of rate is one of small numbers."""
RATIOS = (0.5, 2.0)


def shift_voice(samples: np.ndarray, ratio: float) -> np.ndarray:
    """`[N]` float32 -> `[N]` float32: every frequency times `ratio` (0.5 … 2)."""
    low, high = RATIOS
    if not low <= ratio <= high:
        raise UsageError(f"`ratio` must lie in {low} … {high}, but is {ratio}.")
    rate = round(ratio * _STEPS)
    num_stretched = math.ceil(samples.size * rate / _STEPS)
    stretched_N = _stretch(torch.from_numpy(np.ascontiguousarray(samples, np.float32)), rate / _STEPS, num_stretched)
    shifted_N = resample_tensor(stretched_N, rate, _STEPS)[: samples.size]
    # The phases of neighbouring frequencies drift apart, which costs some 3 dB.
    power, shifted_power = (float(np.mean(np.square(part, dtype=np.float64))) for part in (samples, shifted_N.numpy()))
    shifted: np.ndarray = shifted_N.numpy() * np.float32(math.sqrt(power / max(shifted_power, 1e-12)))
    return shifted


def _stretch(samples_N: Tensor, factor: float, num_samples: int) -> Tensor:
    """`[num_samples]`: `factor` times as long, at the same pitch."""
    window_N = torch.hann_window(_WINDOW)
    # One window more behind the end: the last frames have neighbours to blend with.
    padded_N = torch.nn.functional.pad(samples_N, (0, 2 * _WINDOW))
    frames_FT = torch.stft(padded_N, _WINDOW, _HOP, window=window_N, pad_mode="constant", return_complex=True)
    num_frames = math.ceil((num_samples + _WINDOW) / _HOP) + 1
    at_S = (torch.arange(num_frames, dtype=torch.float64) / factor).clamp(max=frames_FT.shape[1] - 2)
    before_S = at_S.long()
    share_S = (at_S - before_S).float()
    size_FT, phase_FT = frames_FT.abs(), frames_FT.angle().double()
    size_FS = size_FT[:, before_S] * (1 - share_S) + size_FT[:, before_S + 1] * share_S
    # What each frequency turns by in a hop: its nominal turn, plus what is measured beyond it.
    nominal_F1 = 2 * math.pi * _HOP / _WINDOW * torch.arange(_WINDOW // 2 + 1, dtype=torch.float64)[:, None]
    beyond_FS = phase_FT[:, before_S + 1] - phase_FT[:, before_S] - nominal_F1
    turn_FS = nominal_F1 + beyond_FS - 2 * math.pi * torch.round(beyond_FS / (2 * math.pi))
    turned_FS = phase_FT[:, :1] + torch.cumsum(turn_FS, dim=1) - turn_FS
    stretched_FS = torch.polar(size_FS, torch.remainder(turned_FS, 2 * math.pi).float())
    return torch.istft(stretched_FS, _WINDOW, _HOP, window=window_N, length=num_samples)
