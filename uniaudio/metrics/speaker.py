"""Speaker similarity: cosine of two voice embeddings, -1 to 1, higher is more alike.

The embedding is GE2E's (Wan et al. 2018): three LSTM layers over mel bands, with the weights that the package
Resemblyzer carries. Audio is embedded in windows of 1.6 s, whose mean is the voice.
"""

# Shapes: N samples, B windows, T frames, M mel bands, F frequency bins, D width

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.mel import mel_bands

VOICE_RATE = 16_000
_NUM_MELS, _WIDTH, _NUM_LAYERS = 40, 256, 3
_N_FFT, _HOP = 400, 160  # 25 ms and 10 ms
_WINDOW_FRAMES, _STEP_FRAMES = 160, 77  # 1.6 s windows, 1.3 a second
_TARGET_RMS = 10 ** (-30 / 20)
"""Quieter audio is raised to -30 dBFS, as in training."""


class VoiceEncoder(nn.Module):
    """Maps audio to an embedding of its speaker."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_NUM_MELS, _WIDTH, _NUM_LAYERS, batch_first=True)
        self.linear = nn.Linear(_WIDTH, _WIDTH)

    @classmethod
    def load(cls, path: str | Path) -> "VoiceEncoder":
        """Load the package's file of weights. Any other file is a `DataError`."""
        if not Path(path).is_file():
            raise UsageError(f"`speaker` must be a file of a voice encoder's weights, but {path} is none.")
        encoder = cls()
        try:
            weights = dict(torch.load(path, map_location="cpu", weights_only=True))["model_state"]
            encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
        except Exception as error:  # unpickling damaged or foreign bytes may raise anything
            raise DataError(f"{path}: does not hold the speaker network's weights: {error}") from error
        return encoder.eval()

    def forward(self, mel_BTM: Tensor) -> Tensor:
        hidden_BD = self.lstm(mel_BTM)[1][0][-1]
        return nn.functional.normalize(torch.relu(self.linear(hidden_BD)), dim=1)

    @torch.inference_mode()
    def embed(self, samples: np.ndarray) -> np.ndarray:
        """`[N]` mono at 16 kHz -> `[256]` float32 of unit length: the mean of its windows' embeddings."""
        mean: Tensor = self(_windows(_loud_mel(samples))).mean(dim=0)
        return np.asarray(mean / mean.norm())

    @torch.inference_mode()
    def embed_windows(self, samples: np.ndarray, step_frames: int) -> np.ndarray:
        """`[N]` mono at 16 kHz -> `[B, 256]` float32 of unit length: of windows of 1.6 s, one each `step_frames` of 10 ms."""
        return np.asarray(self(_windows(_loud_mel(samples), step_frames)))


def cosine_similarity(first: np.ndarray, second: np.ndarray) -> float | None:
    """The cosine of two `[D]` embeddings of the same encoder; None where either is all zero (no voice was found)."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise UsageError(f"Embeddings must be [D] of one length, but are {first.shape} and {second.shape}.")
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm > 0 else None


def _loud_mel(samples: np.ndarray) -> Tensor:
    """`[T, 40]` of the samples, raised to the level of training."""
    rms = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    loud = samples * np.float32(max(1.0, _TARGET_RMS / max(rms, 1e-9)))
    return _mel(torch.from_numpy(loud.astype(np.float32)))


def _mel(samples_N: Tensor) -> Tensor:
    """`[N]` -> `[T, 40]` power in mel bands; not its logarithm."""
    spectrum_FT = torch.stft(
        samples_N, _N_FFT, _HOP, window=torch.hann_window(_N_FFT), pad_mode="constant", return_complex=True
    )
    bands_FM = mel_bands(_N_FFT // 2 + 1, _NUM_MELS, VOICE_RATE, scale="slaney").to(torch.float32)
    return spectrum_FT.abs().square().T @ bands_FM


def _windows(mel_TM: Tensor, step_frames: int = _STEP_FRAMES) -> Tensor:
    """`[T, M]` -> `[B, 160, M]`, overlapping; the last one counts where it is three quarters full."""
    num_frames = mel_TM.shape[0]
    starts = [
        start
        for start in range(0, max(1, num_frames - _WINDOW_FRAMES + step_frames + 1), step_frames)
        if start == 0 or num_frames - start >= 0.75 * _WINDOW_FRAMES
    ]
    num_missing = max(0, starts[-1] + _WINDOW_FRAMES - num_frames)
    padded_TM = nn.functional.pad(mel_TM, (0, 0, 0, num_missing))
    return torch.stack([padded_TM[start : start + _WINDOW_FRAMES] for start in starts])
