"""Spectral autoencoder: patches of a log-mel spectrogram to bounded latents at 25 Hz, and a waveform from them.

Reads    24 kHz waveform `[B, N]` float32, N a multiple of the hop (960 samples: four frames of 10 ms)
Writes   latents `[B, N / 960, latent_dim]` in -1..1; exactly N samples from latents rounded to ninths

Encoder and decoder are a linear map each, with blocks beside it for what no linear map says. Neither hears a phase: the
decoder gives mel magnitudes, and `PhaseSearch` finds a waveform that has them.
"""

# Shapes: B batch, N samples, T latent frames (25 Hz), t frames (100 Hz), M mel bands, F frequency bins, L latent channels,
#         D width, W samples of a window, h samples of a hop

import torch
from torch import Tensor, nn

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.mel import mel_bands
from uniaudio.codec.autoencoder import Autoencoder, round_latents
from uniaudio.codec.blocks import Blocks
from uniaudio.codec.config.parts import SpectralConfig
from uniaudio.codec.patches import MelPatches, log_mel_of

MOMENTUM = 0.99
"""Momentum of the phase search (Perraudin et al. 2013, section 4)."""
MAX_LOG_MAGNITUDE = 8.0
"""Largest log of a mel magnitude. Audio of full scale reaches 4."""
SMALLEST_MAGNITUDE = 1e-9


class SpectralAutoencoder(Autoencoder):
    """Log-mel patches down to latents and up again."""

    encoder: "SpectralEncoder"
    decoder: "SpectralDecoder"

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__(SpectralEncoder(config), SpectralDecoder(config))
        self.config = config

    @property
    def reach(self) -> tuple[int, int]:
        """The reach, computed from the shapes of the decoder. It is the same on both sides."""
        config = self.config
        # A sample lies in the windows of frames up to half a window away, and each round of the search looks one window further.
        num_frames = -(-config.window_hops // 2) + config.num_phase_rounds * (config.window_hops - 1)
        num_latents = (1 + config.num_decoder_layers) * (config.kernel_size // 2)
        one_side = num_latents + -(-num_frames // config.frames_per_latent)
        return one_side, one_side

    def patches(self, waveform_BN: Tensor) -> Tensor:
        """What the encoder hears: `[B, N]` -> `[B, T, frames * M]`."""
        patches_BTP: Tensor = self.encoder.patches(waveform_BN)
        return patches_BTP

    def decode_patches(self, latents_BTL: Tensor) -> Tensor:
        """What the decoder says of the patches: `[B, T, L]`, rounded or not, -> `[B, T, frames * M]`."""
        patches_BTP: Tensor = self.decoder.patches(latents_BTL)
        return patches_BTP

    def passed(self, patches_BTP: Tensor, noise_BTL: Tensor | None = None) -> Tensor:
        """`[B, T, frames * M]` -> the same, through rounded latents, or through latents with the noise of `unrounded`."""
        latents_BTL = self.encoder.from_patches(patches_BTP)
        return self.decode_patches(
            round_latents(latents_BTL) if noise_BTL is None else self.moved(latents_BTL, noise_BTL)
        )


class SpectralEncoder(nn.Module):
    """Waveform `[B, N]` to `[B, L, T]` in -1..1."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.patches = MelPatches(
            config.num_bands, config.frame_hop, config.frames_per_latent, window=config.frame_hop * config.window_hops
        )
        self.direct = nn.Linear(self.patches.dim, config.latent_dim)
        self.project_in = nn.Linear(self.patches.dim, config.dim)
        self.norm_in = nn.LayerNorm(config.dim)
        self.blocks = Blocks(config.dim, config.num_encoder_layers, config.kernel_size, config.ff_multiplier)
        self.norm_out = nn.LayerNorm(config.dim)
        self.project_out = nn.Linear(config.dim, config.latent_dim)

    def forward(self, waveform_BN: Tensor) -> Tensor:
        """`[B, N]` -> `[B, L, N / hop]`."""
        return self.from_patches(self.patches(waveform_BN)).transpose(1, 2)

    def from_patches(self, patches_BTP: Tensor) -> Tensor:
        """`[B, T, frames * M]` -> `[B, T, L]`."""
        x_BTD = self.blocks(self.norm_in(self.project_in(patches_BTP)))
        return torch.tanh(self.direct(patches_BTP) + self.project_out(self.norm_out(x_BTD)))


class SpectralDecoder(nn.Module):
    """`[B, L, T]` to waveform `[B, N]`."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        kernel_size, num_outputs = config.kernel_size, config.frames_per_latent * config.num_bands
        self.num_bands = config.num_bands
        self.direct = nn.Linear(config.latent_dim, num_outputs)
        self.convolution_in = nn.Conv1d(config.latent_dim, config.dim, kernel_size, padding=kernel_size // 2)
        self.norm_in = nn.LayerNorm(config.dim)
        self.blocks = Blocks(config.dim, config.num_decoder_layers, kernel_size, config.ff_multiplier)
        self.norm_out = nn.LayerNorm(config.dim)
        self.project_out = nn.Linear(config.dim, num_outputs)
        self.search = PhaseSearch(config)

    def forward(self, latents_BLT: Tensor) -> Tensor:
        """`[B, L, T]` -> `[B, T * hop]`."""
        patches_BTP = self.patches(latents_BLT.transpose(1, 2))
        waveform_BN: Tensor = self.search(log_mel_of(patches_BTP, self.num_bands).clamp(max=MAX_LOG_MAGNITUDE).exp())
        return waveform_BN

    def patches(self, latents_BTL: Tensor) -> Tensor:
        """`[B, T, L]` -> `[B, T, frames * M]`."""
        x_BTD = self.convolution_in(latents_BTL.transpose(1, 2)).transpose(1, 2)
        patches_BTP: Tensor = self.project_out(self.norm_out(self.blocks(self.norm_in(x_BTD))))
        direct_BTP: Tensor = self.direct(latents_BTL)
        return direct_BTP + patches_BTP


class PhaseSearch(nn.Module):
    """A waveform whose windows have given mel magnitudes: rounds of inverse transform, overlap, and transform, each of which
    keeps the phases (Griffin and Lim 1984), with momentum (Perraudin et al. 2013). Without weights and without chance."""

    window_W: Tensor
    inverse_MF: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.frame_hop, self.window_hops, self.num_rounds = (
            config.frame_hop,
            config.window_hops,
            config.num_phase_rounds,
        )
        window = config.frame_hop * config.window_hops
        bands_FM = mel_bands(window // 2 + 1, config.num_bands, SAMPLE_RATE, scale="slaney")
        # Not persistent: they follow from the sizes. The inverse is found in float64.
        self.register_buffer("window_W", torch.hann_window(window), persistent=False)
        self.register_buffer("inverse_MF", torch.linalg.pinv(bands_FM.double()).to(bands_FM), persistent=False)

    def forward(self, mel_BtM: Tensor) -> Tensor:
        """Mel magnitudes `[B, t, M]` -> `[B, t * frame_hop]`."""
        magnitude_BtF = (mel_BtM @ self.inverse_MF).clamp(min=SMALLEST_MAGNITUDE)
        # Every window starts as a pulse in its middle.
        sign_F = 1 - 2 * (torch.arange(magnitude_BtF.shape[-1], device=mel_BtM.device) % 2)
        spectrum_BtF = torch.complex(magnitude_BtF * sign_F, torch.zeros_like(magnitude_BtF))
        before_BtF = torch.zeros_like(spectrum_BtF)
        for _ in range(self.num_rounds):
            found_BtF = self._analysis(self._synthesis(spectrum_BtF))
            ahead_BtF = found_BtF + MOMENTUM * (found_BtF - before_BtF)
            spectrum_BtF = magnitude_BtF * ahead_BtF / ahead_BtF.abs().clamp(min=SMALLEST_MAGNITUDE)
            before_BtF = found_BtF
        return self._synthesis(spectrum_BtF)

    def _analysis(self, waveform_BN: Tensor) -> Tensor:
        """The spectrum `[B, t, F]` of windows with their hop in the middle, zeros around the audio."""
        outside = (self.window_hops - 1) * self.frame_hop
        padded_BN = nn.functional.pad(waveform_BN, (outside // 2, outside - outside // 2))
        spectrum_BtF: Tensor = torch.fft.rfft(padded_BN.unfold(1, len(self.window_W), self.frame_hop) * self.window_W)
        return spectrum_BtF

    def _synthesis(self, spectrum_BtF: Tensor) -> Tensor:
        """The waveform `[B, N]` whose spectrum is nearest."""
        frames_BtW = torch.fft.irfft(spectrum_BtF, n=len(self.window_W)) * self.window_W
        weight_1tW = self.window_W.square().expand(1, spectrum_BtF.shape[1], -1)
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
