"""A name that copies of one recording share, whatever container, level or rate they come in."""

import itertools
import re

import numpy as np
from uniaudio_schemas.fingerprint import hash_json, short

_BANDS_HZ = (100, 300, 600, 1_000, 1_600, 2_400, 3_600, 5_200, 7_600)
_SLICES = 8
_WINDOW = 512
_LENGTH_STEP = 800
"""Samples at 16 kHz (50 ms): encoders add and cut some."""


def audio_cluster(analysis_N: np.ndarray) -> str:
    """Of `[N]` mono at 16 kHz: its length, and in which eighths of it each band is louder than that band's median."""
    num_windows = max(_SLICES, len(analysis_N) // _WINDOW)
    padded = np.zeros(num_windows * _WINDOW, np.float32)
    kept = analysis_N[: len(padded)]
    padded[: len(kept)] = kept
    power = np.abs(np.fft.rfft(padded.reshape(num_windows, _WINDOW), axis=1)) ** 2
    edges = [round(hertz * _WINDOW / 16_000) for hertz in _BANDS_HZ]
    bands = np.stack([power[:, low:high].sum(axis=1) for low, high in itertools.pairwise(edges)], axis=1)
    energy = np.stack([part.sum(axis=0) for part in np.array_split(bands, _SLICES)])
    bits = (energy > np.median(energy, axis=0)).astype(int).ravel().tolist()
    return short(hash_json(["audio", round(len(analysis_N) / _LENGTH_STEP), bits]))


def text_cluster(text: str) -> str:
    """Of the letters and digits of a passage."""
    return short(hash_json(["text", re.sub(r"\W+", " ", text.casefold()).strip()]))
