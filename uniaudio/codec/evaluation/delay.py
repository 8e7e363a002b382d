"""The delay of a coder, found on envelopes: audio of another phase has the same ones, and its waveform says nothing.

Reads    pairs of the original and what a coder made of it, `[N]` float32 at 24 kHz each
Writes   how many samples it is late: one number for all clips, since a coder has one delay
Row in   Codec2 3200 on 24 clips
Row out  480
"""

# Shapes: N samples, F frequency bins, T steps of an envelope, K bands

from collections.abc import Iterable

import numpy as np
import torch

from uniaudio.audio.frames import SAMPLE_RATE

MAX_DELAY = SAMPLE_RATE // 10
"""Largest delay in samples, in either direction (0.1 s). A larger one means another recording."""
STEP = SAMPLE_RATE // 1000
"""Samples from one frame of the envelopes to the next (1 ms). A delay is exact to one step."""
WINDOW = 10 * STEP
NUM_BANDS = 8
TOP_HZ = 4_000
"""Upper edge of the bands. A telephone coder keeps nothing above it."""
FLOOR = 1e-3
LEAST_MOVED = 1.0
"""Smallest norm (nepers) of an envelope that counts as moving. Silence and hum have a smaller one."""


def find_delay(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> int:
    """Samples, a multiple of `STEP`; 0 where no clip has an envelope that moves. Clips count by what moves in them."""
    most = MAX_DELAY // STEP
    total_L = np.zeros(2 * most + 1)
    for reference, output in pairs:
        if min(len(reference), len(output)) > WINDOW:
            total_L += _correlations(_envelopes(reference), _envelopes(np.nan_to_num(output)), most)
    return STEP * (int(np.argmax(total_L)) - most) if total_L.any() else 0


def undo_delay(made: np.ndarray, delay: int, num_samples: int) -> np.ndarray:
    """`[num_samples]` float32: `made` moved to the front by `delay`, with zeros where it says nothing."""
    moved = made[delay:] if delay > 0 else np.pad(made, (-delay, 0))
    return np.pad(moved[:num_samples], (0, max(0, num_samples - len(moved)))).astype(np.float32)


def _envelopes(samples_N: np.ndarray) -> np.ndarray:
    """`[K, T]`: log magnitudes of bands of equal width, less their means."""
    waveform_N = torch.from_numpy(np.ascontiguousarray(samples_N, dtype=np.float32))
    spectrum_FT = torch.stft(
        waveform_N, WINDOW, STEP, window=torch.hann_window(WINDOW), center=False, return_complex=True
    )
    num_bins = TOP_HZ * WINDOW // SAMPLE_RATE
    bands_KT = spectrum_FT[:num_bins].abs().unflatten(0, (NUM_BANDS, -1)).sum(dim=1)
    log_KT = bands_KT.clamp(min=FLOOR).log()
    centered: np.ndarray = (log_KT - log_KT.mean(dim=1, keepdim=True)).numpy()
    return centered


def _correlations(reference_KT: np.ndarray, made_KT: np.ndarray, most: int) -> np.ndarray:
    """Correlations at the lags `-most` to `most`, summed over bands. They are divided by the norm of `made_KT`, so that a loud
    coder does not count more."""
    if min(np.linalg.norm(reference_KT), np.linalg.norm(made_KT)) < LEAST_MOVED:
        return np.zeros(2 * most + 1)
    size = 1 << (max(reference_KT.shape[1], made_KT.shape[1]) + most).bit_length()
    spectrum = np.fft.rfft(made_KT, size) * np.conj(np.fft.rfft(reference_KT, size))
    correlation_T = np.fft.irfft(spectrum.sum(axis=0), size)
    correlations: np.ndarray = correlation_T[np.arange(-most, most + 1)] / np.linalg.norm(made_KT)
    return correlations
