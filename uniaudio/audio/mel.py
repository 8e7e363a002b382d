"""Mel spectrograms of the frozen encoders' front ends and of the metrics, in plain torch and float32.

Computed in float32 on purpose: in float64 the bins near the floor differ from what the encoders were trained on by up
to 6e-5.
"""

# Shapes: B batch, N samples, M mel bands, F frequency bins, T frames

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

WHISPER_RATE = 16_000
WHISPER_SAMPLES = 480_000
"""30 s: the only length Whisper was trained on."""
MUSIC_RATE = 24_000
_MUSIC_UNIT = 960  # samples of one 25 Hz frame of the music encoder
_MUSIC_MEAN, _MUSIC_STD = (
    6.768444971712967,
    18.417922652295623,
)  # dB; the released encoder's constants (spec/codec.md 1.5)


def whisper_log_mel(waveform_BN: Tensor, *, num_mels: int = 80, num_samples: int | None = WHISPER_SAMPLES) -> Tensor:
    """`[B, N]` float32 at 16 kHz -> `[B, M, T]`, T = samples / 160, as `WhisperFeatureExtractor` computes it.

    Padded with zeros or cut to `num_samples` first (None: as it is). Slaney mel bands 0 to 8 kHz, log10 floored 8
    below the item's maximum.
    """
    if num_samples is not None:
        waveform_BN = torch.nn.functional.pad(waveform_BN, (0, max(0, num_samples - waveform_BN.shape[-1])))[
            ..., :num_samples
        ]
    power_BFT = _power_spectrogram(waveform_BN, 400, 160)[..., :-1].contiguous()
    mel_BMT = mel_bands(201, num_mels, WHISPER_RATE, scale="slaney").to(power_BFT).T @ power_BFT
    log_BMT = mel_BMT.clamp(min=1e-10).log10()
    floor = log_BMT.amax(dim=(-2, -1), keepdim=True) - 8.0
    return (torch.maximum(log_BMT, floor) + 4.0) / 4.0


def music_log_mel(waveform_BN: Tensor) -> Tensor:
    """`[B, N]` float32 at 24 kHz -> `[B, 128, T]` normalized decibels at 100 Hz; N is first cut to whole 25 Hz frames
    (960 samples).
    """
    waveform_BN = waveform_BN[..., : waveform_BN.shape[-1] // _MUSIC_UNIT * _MUSIC_UNIT]
    power_BFT = _power_spectrogram(waveform_BN, 2048, 240)
    mel_BMT = mel_bands(1025, 128, MUSIC_RATE, scale="htk").to(power_BFT).T @ power_BFT
    decibel_BMT = 10.0 * mel_BMT.clamp(min=1e-10).log10()[..., :-1]
    return (decibel_BMT - _MUSIC_MEAN) / _MUSIC_STD


def log_mel(
    waveform_BN: Tensor, sample_rate: int, *, n_fft: int = 1024, hop: int = 256, num_mels: int = 80, floor: float = 1e-5
) -> Tensor:
    """`[B, N]` -> `[B, M, T]` natural log of mel magnitudes (Slaney bands over the whole band), for metrics, losses
    and pictures.
    """
    magnitude_BFT = _power_spectrogram(waveform_BN, n_fft, hop).sqrt()
    mel_BMT = mel_bands(n_fft // 2 + 1, num_mels, sample_rate, scale="slaney").to(magnitude_BFT).T @ magnitude_BFT
    return mel_BMT.clamp(min=floor).log()


def _power_spectrogram(waveform_BN: Tensor, n_fft: int, hop: int) -> Tensor:
    if waveform_BN.shape[-1] <= n_fft // 2:  # reflect padding needs more samples than it mirrors
        raise UsageError(
            f"A spectrogram of window {n_fft} needs more than {n_fft // 2} samples, but has {waveform_BN.shape[-1]}."
        )
    window = torch.hann_window(n_fft, device=waveform_BN.device, dtype=waveform_BN.dtype)
    return torch.stft(waveform_BN, n_fft, hop, window=window, return_complex=True).abs() ** 2


@lru_cache(maxsize=16)
def mel_bands(num_bins: int, num_mels: int, sample_rate: int, *, scale: str, n_fft: int | None = None) -> Tensor:
    """`[F, M]` float32 triangular bands from 0 Hz to half the rate: `slaney` (area-normalized) or `htk` (peak 1, no
    normalization). `n_fft` is needed where it is odd: the last bin then lies below half the rate.
    """
    to_mel, to_hertz = (_slaney_mel, _slaney_hertz) if scale == "slaney" else (_htk_mel, _htk_hertz)
    top = sample_rate / 2
    edges = to_hertz(np.linspace(to_mel(np.array(0.0)), to_mel(np.array(top)), num_mels + 2))
    last = top if n_fft is None else (num_bins - 1) * sample_rate / n_fft
    bins = np.linspace(0, last, num_bins)
    slopes = edges[None, :] - bins[:, None]
    widths = np.diff(edges)
    bands = np.maximum(0, np.minimum(-slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]))
    if scale == "slaney":
        bands *= 2.0 / (edges[2:] - edges[:-2])
    return torch.from_numpy(bands).float()


_SLANEY_KNEE_HZ, _SLANEY_KNEE_MEL = 1000.0, 15.0  # linear below, logarithmic above (Slaney, Auditory Toolbox)
_SLANEY_STEP = math.log(6.4) / 27.0


def _slaney_mel(hertz: np.ndarray) -> np.ndarray:
    above = _SLANEY_KNEE_MEL + np.log(np.maximum(hertz, _SLANEY_KNEE_HZ) / _SLANEY_KNEE_HZ) / _SLANEY_STEP
    return np.where(hertz >= _SLANEY_KNEE_HZ, above, 3.0 * hertz / 200.0)


def _slaney_hertz(mel: np.ndarray) -> np.ndarray:
    above = _SLANEY_KNEE_HZ * np.exp(_SLANEY_STEP * (np.maximum(mel, _SLANEY_KNEE_MEL) - _SLANEY_KNEE_MEL))
    return np.where(mel >= _SLANEY_KNEE_MEL, above, 200.0 * mel / 3.0)


def _htk_mel(hertz: np.ndarray) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + hertz / 700.0)


def _htk_hertz(mel: np.ndarray) -> np.ndarray:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
