"""Distances between spectrograms of a reference and an estimate, any domain: 0 is equal, lower is better.

Both take `[N]` float at one rate; the longer one is cut. None where fewer samples than one window are left.
"""

import numpy as np
import torch
from torch import Tensor

from uniaudio.audio.mel import log_mel

_WINDOWS = (512, 1024, 2048)
_FLOOR = 1e-5  # magnitude, -100 dB of full scale: differences below are not heard
_TINY = 1e-8


def log_mel_distance(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    """Mean absolute difference of natural-log mel magnitudes (80 bands, window 1024, hop 256), in nepers (1 neper =
    8.7 dB).
    """
    pair = _pair(reference, estimate, 1024)
    if pair is None:
        return None
    mel_BMT = log_mel(pair, sample_rate, floor=_FLOOR)
    return float((mel_BMT[0] - mel_BMT[1]).abs().mean())


def multi_resolution_stft_distance(reference: np.ndarray, estimate: np.ndarray) -> float | None:
    """Spectral convergence plus mean absolute log-magnitude difference, averaged over windows of 512, 1024 and 2048
    samples.

    Source: Yamamoto et al. 2020 (Parallel WaveGAN), as a metric. No unit.
    """
    pair = _pair(reference, estimate, max(_WINDOWS))
    return None if pair is None else float(np.mean([_stft_distance(pair, window) for window in _WINDOWS]))


def _pair(reference: np.ndarray, estimate: np.ndarray, window: int) -> Tensor | None:
    num_samples = min(len(reference), len(estimate))
    if num_samples < window:
        return None
    return torch.from_numpy(np.stack([np.asarray(part[:num_samples], np.float32) for part in (reference, estimate)]))


def _stft_distance(pair_2N: Tensor, n_fft: int) -> float:
    window = torch.hann_window(n_fft)
    target, output = torch.stft(pair_2N, n_fft, n_fft // 4, window=window, return_complex=True).abs()
    convergence = torch.linalg.norm(target - output) / torch.linalg.norm(target).clamp(min=_TINY)
    magnitude = (target.clamp(min=_FLOOR).log() - output.clamp(min=_FLOOR).log()).abs().mean()
    return float(convergence + magnitude)
