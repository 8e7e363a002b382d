"""Losses of codec training: pure functions of tensors."""

# Shapes: B batch, N samples, F frequency bins, T frames, D width

from collections.abc import Sequence

import torch
from torch import Tensor

# Window and hop of each resolution, in samples at 24 kHz.
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
# Magnitudes below it count as silence.
FLOOR = 1e-3


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
        error = (predicted_BFT - target_BFT).square().sum().sqrt() / target_BFT.square().sum().sqrt().clamp(min=FLOOR)
        distances.append(error + (predicted_BFT.log() - target_BFT.log()).abs().mean())
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
