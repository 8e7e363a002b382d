"""Embeddings behind the Frechet distance: one that needs no model. Values are comparable only within one embedding, whose name is part of
the metric's name.

    embed(samples)     [160]: mean and standard deviation over time of each of 80 log mel bands, by name `mel_statistics`
"""

import numpy as np
import torch

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.mel import log_mel

EMBEDDING = "mel_statistics"
_FLOOR = 1e-5
_SHORTEST = 1_024


def embed(samples: np.ndarray) -> np.ndarray:
    """`[N]` float32 at 24 kHz -> `[160]` float64; shorter than one window, it is filled up with silence."""
    filled = np.pad(samples, (0, max(0, _SHORTEST - len(samples)))).astype(np.float32)
    mel_MT = log_mel(torch.from_numpy(filled)[None], SAMPLE_RATE, floor=_FLOOR)[0]
    values = np.asarray(mel_MT, np.float64)
    return np.concatenate([values.mean(axis=1), values.std(axis=1)])
