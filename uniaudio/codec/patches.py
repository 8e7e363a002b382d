"""Log-mel magnitudes of whole frames side by side: what a network is told of audio that shall hear no phase.

Reads    24 kHz waveform `[B, N]` float32, N a multiple of a patch
Writes   patches `[B, N / patch, frames * bands]`, about as large as normal numbers
"""

# Shapes: B batch, N samples, t frames, M mel bands, F frequency bins, W samples of a window

import torch
from torch import Tensor, nn

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.mel import mel_bands

# Of a mel magnitude: less is noise of recordings, and what tells it apart would be lost on it.
FLOOR = 1e-4
# About the mean and the spread of natural-log mel magnitudes of audio.
LOG_MEAN, LOG_DEVIATION = -6.0, 3.0


class MelPatches(nn.Module):
    """Log-mel magnitudes of whole frames side by side; a frame's window has its hop in the middle and zeros around the
    audio. Without weights, and a function of the samples near a patch alone.
    """

    window_W: Tensor
    bands_FM: Tensor

    def __init__(self, num_bands: int, frame_hop: int, frames_per_patch: int, *, window: int = 960) -> None:
        super().__init__()
        self.frame_hop, self.frames_per_patch, self.window = frame_hop, frames_per_patch, window
        self.dim = num_bands * frames_per_patch
        # Not persistent: they follow from the sizes.
        self.register_buffer("window_W", torch.hann_window(window), persistent=False)
        bands_FM = mel_bands(window // 2 + 1, num_bands, SAMPLE_RATE, scale="slaney")
        self.register_buffer("bands_FM", bands_FM, persistent=False)

    def centers(self) -> Tensor:
        """The mean frequency `[M]` (Hz) of every band."""
        bins_F = torch.linspace(0, SAMPLE_RATE / 2, len(self.bands_FM), device=self.bands_FM.device)
        return (bins_F @ self.bands_FM) / self.bands_FM.sum(dim=0)

    def forward(self, waveform_BN: Tensor) -> Tensor:
        """`[B, N]` -> `[B, N / (frame_hop * frames_per_patch), dim]`."""
        beside = (self.window - self.frame_hop) // 2
        padded_BN = nn.functional.pad(waveform_BN, (beside, self.window - self.frame_hop - beside))
        spectrum_BFt = torch.stft(
            padded_BN, self.window, self.frame_hop, window=self.window_W, center=False, return_complex=True
        )
        mel_BtM = spectrum_BFt.abs().transpose(1, 2) @ self.bands_FM
        scaled_BtM = (mel_BtM.clamp(min=FLOOR).log() - LOG_MEAN) / LOG_DEVIATION
        patches_BTP: Tensor = scaled_BtM.unflatten(1, (-1, self.frames_per_patch)).flatten(2)
        return patches_BTP


def log_mel_of(patches_BTP: Tensor, num_bands: int) -> Tensor:
    """Natural-log mel magnitudes `[B, t, M]` of patches `[B, T, frames * M]`."""
    log_mel_BtM: Tensor = patches_BTP.unflatten(-1, (-1, num_bands)).flatten(1, 2) * LOG_DEVIATION + LOG_MEAN
    return log_mel_BtM
