"""Spectral autoencoder: patches of a log-mel spectrogram to bounded latents at 25 Hz, and a complex spectrum back.

Reads    24 kHz waveform `[B, N]` float32, N a multiple of the hop (960 samples: four frames of 10 ms)
Writes   latents `[B, N / 960, latent_dim]` in -1..1; exactly N samples from latents rounded to ninths

The encoder hears no phase, so the decoder makes one up: it predicts magnitude and phase of every frame, and an inverse
Fourier transform adds the frames up (Siuzdak 2023, Vocos). Blocks are those of ConvNeXt (Liu et al. 2022).
"""

# Shapes: B batch, N samples, T latent frames (25 Hz), t frames (100 Hz), M mel bands, F frequency bins, L latent channels,
#         D width, W samples of a window, H hops in a window

import torch
from torch import Tensor, nn

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.mel import mel_bands
from uniaudio.codec.autoencoder import Autoencoder
from uniaudio.codec.config.parts import SpectralConfig

# Of a mel magnitude, -100 dB: less is not heard.
FLOOR = 1e-5
# About the mean and the spread of natural-log mel magnitudes of audio.
LOG_MEAN, LOG_DEVIATION = -6.0, 3.0
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
        self.blocks = blocks(config.dim, config.num_encoder_layers, config)
        self.norm_out = nn.LayerNorm(config.dim)
        self.project_out = nn.Linear(config.dim, config.latent_dim)

    def forward(self, waveform_BN: Tensor) -> Tensor:
        """`[B, N]` -> `[B, L, N / hop]`."""
        x_BTD = self.blocks(self.norm_in(self.project_in(self.patches(waveform_BN))))
        return torch.tanh(self.project_out(self.norm_out(x_BTD))).transpose(1, 2)


class SpectralDecoder(nn.Module):
    """`[B, L, T]` to waveform `[B, N]`."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.frames_per_latent = config.frames_per_latent
        kernel_size = config.kernel_size
        self.convolution_in = nn.Conv1d(config.latent_dim, config.dim, kernel_size, padding=kernel_size // 2)
        self.norm_in = nn.LayerNorm(config.dim)
        self.latent_blocks = blocks(config.dim, config.num_latent_layers, config)
        self.to_frames = nn.Linear(config.dim, config.frames_per_latent * config.frame_dim)
        self.frame_blocks = blocks(config.frame_dim, config.num_frame_layers, config)
        self.norm_out = nn.LayerNorm(config.frame_dim)
        self.head = SpectrumHead(config)

    def forward(self, latents_BLT: Tensor) -> Tensor:
        """`[B, L, T]` -> `[B, T * hop]`."""
        x_BTD = self.latent_blocks(self.norm_in(self.convolution_in(latents_BLT).transpose(1, 2)))
        x_BtD = self.to_frames(x_BTD).unflatten(-1, (self.frames_per_latent, -1)).flatten(1, 2)
        waveform_BN: Tensor = self.head(self.norm_out(self.frame_blocks(x_BtD)))
        return waveform_BN


class MelPatches(nn.Module):
    """Log-mel magnitudes of whole frames side by side; a frame's window has its hop in the middle and zeros around the
    audio. Without weights, and a function of the samples near a patch alone.
    """

    window_W: Tensor
    bands_FM: Tensor

    def __init__(self, num_bands: int, frame_hop: int, frames_per_patch: int, *, window: int = 1024) -> None:
        super().__init__()
        self.frame_hop, self.frames_per_patch, self.window = frame_hop, frames_per_patch, window
        self.dim = num_bands * frames_per_patch
        # Not persistent: they follow from the sizes.
        self.register_buffer("window_W", torch.hann_window(window), persistent=False)
        bands_FM = mel_bands(window // 2 + 1, num_bands, SAMPLE_RATE, scale="slaney")
        self.register_buffer("bands_FM", bands_FM, persistent=False)

    def forward(self, waveform_BN: Tensor) -> Tensor:
        """`[B, N]` -> `[B, N / (frame_hop * frames_per_patch), dim]`."""
        beside = (self.window - self.frame_hop) // 2
        padded_BN = nn.functional.pad(waveform_BN, (beside, self.window - self.frame_hop - beside))
        spectrum_BFt = torch.stft(
            padded_BN, self.window, self.frame_hop, window=self.window_W, center=False, return_complex=True
        )
        mel_BtM = spectrum_BFt.abs().transpose(1, 2) @ self.bands_FM
        scaled_BtM = (mel_BtM.clamp(min=FLOOR).log() - LOG_MEAN) / LOG_DEVIATION
        return scaled_BtM.unflatten(1, (-1, self.frames_per_patch)).flatten(2)


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


class Block(nn.Module):
    """A depthwise convolution over time, then two layers on each frame, added to the input."""

    def __init__(self, dim: int, kernel_size: int, ff_multiplier: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, ff_multiplier * dim)
        self.narrow = nn.Linear(ff_multiplier * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """`[B, T, D]` -> `[B, T, D]`."""
        y_BTD = self.norm(self.depthwise(x_BTD.transpose(1, 2)).transpose(1, 2))
        return x_BTD + self.scale * self.narrow(nn.functional.gelu(self.wide(y_BTD)))


def blocks(dim: int, num_layers: int, config: SpectralConfig) -> nn.Sequential:
    """As many blocks, each of which starts with its share of what all add."""
    return nn.Sequential(
        *(Block(dim, config.kernel_size, config.ff_multiplier, 1 / num_layers) for _ in range(num_layers))
    )
