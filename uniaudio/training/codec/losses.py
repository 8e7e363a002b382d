"""Losses of codec training: pure functions of tensors."""

# Shapes: B batch, N samples, F frequency bins, T frames, D width

from collections.abc import Sequence

import torch
from torch import Tensor

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.mel import mel_bands

# Window and hop of each resolution, in samples at 24 kHz.
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
# Magnitudes below it count as silence.
FLOOR = 1e-3
# Bands of the mel distance by window: wider than a bin each.
MEL_BANDS = {512: 40, 1024: 80, 2048: 120}


def waveform_loss(predicted_BN: Tensor, target_BN: Tensor) -> Tensor:
    """Mean absolute error of the samples plus the spectral distance at all `RESOLUTIONS`."""
    return 10 * (predicted_BN - target_BN).abs().mean() + spectral_distance(predicted_BN, target_BN)


def spectral_distance(
    predicted_BN: Tensor, target_BN: Tensor, resolutions: Sequence[tuple[int, int]] = RESOLUTIONS
) -> Tensor:
    """Mean over resolutions of spectral convergence plus mean absolute difference of log magnitudes."""
    distances: list[Tensor] = []
    for window, hop in resolutions:
        predicted_BFT, target_BFT = _magnitude(predicted_BN, window, hop), _magnitude(target_BN, window, hop)
        distances.append(_distance(predicted_BFT, target_BFT))
    return torch.stack(distances).mean()


def _distance(predicted_BFT: Tensor, target_BFT: Tensor) -> Tensor:
    """Spectral convergence plus the mean absolute difference of log magnitudes."""
    error = (predicted_BFT - target_BFT).square().sum().sqrt() / target_BFT.square().sum().sqrt().clamp(min=FLOOR)
    return error + (predicted_BFT.log() - target_BFT.log()).abs().mean()


def phase_free_loss(predicted_BN: Tensor, target_BN: Tensor) -> Tensor:
    """The spectral distance at all `RESOLUTIONS` plus the mean absolute difference of log mel magnitudes: nothing that a
    reconstruction with a phase of its own could not bring to 0."""
    distances: list[Tensor] = []
    for window, hop in RESOLUTIONS:
        predicted_BFT, target_BFT = _magnitude(predicted_BN, window, hop), _magnitude(target_BN, window, hop)
        bands_MF = mel_bands(window // 2 + 1, MEL_BANDS[window], SAMPLE_RATE, scale="htk").to(target_BFT).T
        mel = ((bands_MF @ predicted_BFT).log() - (bands_MF @ target_BFT).log()).abs().mean()
        distances.append(_distance(predicted_BFT, target_BFT) + mel)
    return torch.stack(distances).mean()


def relative_error(predicted_BN: Tensor, target_BN: Tensor) -> Tensor:
    """Squared error over the energy of the target, of the batch: 1 for silence, 0 where every sample is right."""
    return (predicted_BN - target_BN).square().sum() / target_BN.square().sum().clamp(min=FLOOR)


def masked_mean_square(predicted_BTD: Tensor, target_BTD: Tensor, valid_BT: Tensor) -> Tensor:
    """Mean squared error over the frames where `valid_BT` is True."""
    weight_BT1 = valid_BT[..., None].to(predicted_BTD.dtype)
    error = ((predicted_BTD - target_BTD).square() * weight_BT1).sum()
    return error / (weight_BT1.sum() * predicted_BTD.shape[-1]).clamp(min=1)


def _magnitude(waveform_BN: Tensor, window: int, hop: int) -> Tensor:
    spectrum_BFT = torch.stft(
        waveform_BN, window, hop, window=torch.hann_window(window, device=waveform_BN.device), return_complex=True
    )
    # The root of a sum that is never 0: the gradient of abs() at 0 is not defined.
    return (spectrum_BFT.real.square() + spectrum_BFT.imag.square() + FLOOR**2).sqrt()
