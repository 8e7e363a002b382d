"""What the codec asks of a waveform autoencoder, whatever it is made of: `scalar.py` and `spectral.py` each hold one.

Reads    24 kHz waveform `[B, N]` float32, N a multiple of the hop (960 samples)
Writes   latents `[B, N / 960, latent_dim]` in -1..1; a waveform `[B, N]` from latents rounded to ninths
"""

# Shapes: B batch, N samples, T latent frames, L latent channels

import torch
from torch import Tensor, nn

# Nineteen levels from -1 to 1 (released architecture).
LEVELS_PER_UNIT = 9


class Autoencoder(nn.Module):
    """An encoder `[B, N]` -> `[B, L, T]` in -1..1 and a decoder `[B, L, T]` -> `[B, N]`, with rounding between them."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @property
    def reach(self) -> tuple[int, int]:
        """Latents before and behind a frame that its samples depend on."""
        raise NotImplementedError

    def encode(self, waveform_BN: Tensor) -> Tensor:
        """`[B, N]` -> `[B, T, L]`, bounded by tanh and not rounded: the target of the flow."""
        latents_BLT: Tensor = self.encoder(waveform_BN)
        return latents_BLT.transpose(1, 2)

    def decode(self, latents_BTL: Tensor) -> Tensor:
        """`[B, T, L]` -> `[B, N]`; latents are rounded first (straight-through gradient) and never clamped."""
        waveform_BN: Tensor = self.decoder(round_latents(latents_BTL).transpose(1, 2))
        return waveform_BN

    def forward(self, waveform_BN: Tensor) -> Tensor:
        """`[B, N]` -> `[B, N]` through the rounded latents."""
        return self.decode(self.encode(waveform_BN))

    def unrounded(self, waveform_BN: Tensor, noise_BTL: Tensor) -> Tensor:
        """`[B, N]` -> `[B, N]` through latents with noise in -1..1 as wide as rounding would move them."""
        made_BN: Tensor = self.decoder(self.moved(self.encode(waveform_BN), noise_BTL).transpose(1, 2))
        return made_BN

    @staticmethod
    def moved(latents_BTL: Tensor, noise_BTL: Tensor) -> Tensor:
        """Latents moved as rounding would, by noise in -1..1."""
        return latents_BTL + noise_BTL / (2 * LEVELS_PER_UNIT)


def round_latents(latents: Tensor) -> Tensor:
    """Nearest multiple of a ninth; the gradient passes as if nothing had been rounded."""
    rounded = torch.round(latents.detach() * LEVELS_PER_UNIT) / LEVELS_PER_UNIT
    return latents + (rounded - latents.detach()) if latents.requires_grad else rounded
