"""Spectral autoencoder: patches of a log-mel spectrogram to bounded latents at 25 Hz, and a complex spectrum back.

Reads    24 kHz waveform `[B, N]` float32, N a multiple of the hop (960 samples: four frames of 10 ms)
Writes   latents `[B, N / 960, latent_dim]` in -1..1; exactly N samples from latents rounded to ninths

The encoder hears no phase, so the decoder makes one up: it predicts magnitude and phase of every frame, and an inverse
Fourier transform adds the frames up (Siuzdak 2023, Vocos).
"""

# Shapes: B batch, N samples, T latent frames (25 Hz), t frames (100 Hz), F frequency bins, L latent channels, D width,
#         W samples of a window, H hops in a window, h samples of a hop

import torch
from torch import Tensor, nn

from uniaudio.codec.autoencoder import Autoencoder
from uniaudio.codec.blocks import Blocks
from uniaudio.codec.config.parts import SpectralConfig
from uniaudio.codec.patches import MelPatches

# Of a latent before tanh, over the channels of a frame.
LATENT_DEVIATION = 0.7
# Of a predicted log magnitude: a frame of full scale reaches 5.5.
MAX_LOG_MAGNITUDE = 8.0


class SpectralAutoencoder(Autoencoder):
    """Blocks over mel patches down to latents, blocks over latents and frames up to a spectrum."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__(SpectralEncoder(config), SpectralDecoder(config))
        self.config = config

    @property
    def reach(self) -> tuple[int, int]:
        """From the shapes of the decoder; the same on both sides."""
        config = self.config
        beside = config.kernel_size // 2
        # A sample lies in the windows of frames up to half a window away.
        num_frames = config.num_frame_layers * beside + -(-config.window_hops // 2)
        one_side = (1 + config.num_latent_layers) * beside + -(-num_frames // config.frames_per_latent)
        return one_side, one_side


class SpectralEncoder(nn.Module):
    """Waveform `[B, N]` to `[B, L, T]` in -1..1."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.patches = MelPatches(config.num_bands, config.frame_hop, config.frames_per_latent)
        self.project_in = nn.Linear(self.patches.dim, config.dim)
        self.norm_in = nn.LayerNorm(config.dim)
        self.blocks = Blocks(config.dim, config.num_encoder_layers, config.kernel_size, config.ff_multiplier)
        self.norm_out = nn.LayerNorm(config.dim)
        self.project_out = nn.Linear(config.dim, config.latent_dim)
        # Without weights: of their own accord latents grow into the ends of tanh, where no gradient moves them any more.
        self.norm_latent = nn.LayerNorm(config.latent_dim, elementwise_affine=False)

    def forward(self, waveform_BN: Tensor) -> Tensor:
        """`[B, N]` -> `[B, L, N / hop]`."""
        x_BTD = self.blocks(self.norm_in(self.project_in(self.patches(waveform_BN))))
        latents_BTL = self.norm_latent(self.project_out(self.norm_out(x_BTD)))
        return torch.tanh(LATENT_DEVIATION * latents_BTL).transpose(1, 2)


class SpectralDecoder(nn.Module):
    """`[B, L, T]` to waveform `[B, N]`."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.frames_per_latent = config.frames_per_latent
        kernel_size = config.kernel_size
        self.convolution_in = nn.Conv1d(config.latent_dim, config.dim, kernel_size, padding=kernel_size // 2)
        self.norm_in = nn.LayerNorm(config.dim)
        self.latent_blocks = Blocks(config.dim, config.num_latent_layers, config.kernel_size, config.ff_multiplier)
        self.to_frames = nn.Linear(config.dim, config.frames_per_latent * config.frame_dim)
        self.frame_blocks = Blocks(config.frame_dim, config.num_frame_layers, config.kernel_size, config.ff_multiplier)
        self.norm_out = nn.LayerNorm(config.frame_dim)
        self.head = SpectrumHead(config)

    def forward(self, latents_BLT: Tensor) -> Tensor:
        """`[B, L, T]` -> `[B, T * hop]`."""
        x_BTD = self.latent_blocks(self.norm_in(self.convolution_in(latents_BLT).transpose(1, 2)))
        x_BtD = self.to_frames(x_BTD).unflatten(-1, (self.frames_per_latent, -1)).flatten(1, 2)
        waveform_BN: Tensor = self.head(self.norm_out(self.frame_blocks(x_BtD)))
        return waveform_BN


class SpectrumHead(nn.Module):
    """Magnitude and phase of every frame, and the frames added up."""

    window_W: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.frame_hop, self.window_hops = config.frame_hop, config.window_hops
        window = config.frame_hop * config.window_hops
        self.project = nn.Linear(config.frame_dim, 2 * (window // 2 + 1))
        self.register_buffer("window_W", torch.hann_window(window), persistent=False)

    def forward(self, x_BtD: Tensor) -> Tensor:
        """`[B, t, D]` -> `[B, t * frame_hop]`."""
        log_magnitude_BtF, phase_BtF = self.project(x_BtD).chunk(2, dim=-1)
        magnitude_BtF = log_magnitude_BtF.clamp(max=MAX_LOG_MAGNITUDE).exp()
        spectrum_BtF = torch.complex(magnitude_BtF * phase_BtF.cos(), magnitude_BtF * phase_BtF.sin())
        frames_BtW = torch.fft.irfft(spectrum_BtF, n=len(self.window_W)) * self.window_W
        weight_1tW = self.window_W.square().expand(1, x_BtD.shape[1], -1)
        return self._add_up(frames_BtW) / self._add_up(weight_1tW)

    def _add_up(self, frames_BtW: Tensor) -> Tensor:
        """Windows that start a hop after one another, less half of what sticks out on either side."""
        num_frames, outside = frames_BtW.shape[1], self.window_hops - 1
        hops_BtHh = frames_BtW.unflatten(-1, (self.window_hops, self.frame_hop))
        total_Bth = sum(
            nn.functional.pad(hops_BtHh[:, :, hop], (0, 0, hop, outside - hop)) for hop in range(self.window_hops)
        )
        assert isinstance(total_Bth, Tensor)
        first = outside * self.frame_hop // 2
        return total_Bth.flatten(1)[:, first : first + num_frames * self.frame_hop]
