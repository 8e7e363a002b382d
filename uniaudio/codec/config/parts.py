"""Sizes of the codec's parts: the flow transformer and the two autoencoders, of which a codec has one. Imports no torch.

One row:  FlowConfig(latent_dim=136, condition_dim=768, dim=1536, num_layers=32, num_heads=24)
"""

from dataclasses import dataclass
from math import prod

from uniaudio_schemas.errors import UsageError

from uniaudio.codec.config.fields import check_fields

MIN_SCALE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowConfig:
    """Shape of the transformer that predicts the velocity of scalar latents."""

    latent_dim: int
    """Channels of one scalar latent."""
    condition_dim: int
    """Channels of the condition, one vector per latent frame."""
    dim: int
    """Width of the blocks."""
    num_layers: int
    """Number of blocks."""
    num_heads: int
    """Attention heads; `dim` must be a multiple."""
    ff_multiplier: int = 4
    """Width of the feed-forward layer divided by `dim`."""
    time_dim: int = 512
    """Channels of the sinusoid that encodes the flow time."""
    latent_scale: float = 1.0
    """Factor that makes latents about as large as the noise that they start from (Rombach et al. 2022, 4.3.2). Smaller latents
    would emerge only in the last steps. The released flow has none."""
    normalizes_latents: bool = False
    """Whether every channel of the latents is brought to mean 0 and deviation 1 for the flow, instead of `latent_scale`. Phase
    `reconstruction` takes the statistics from its clips when it starts."""
    num_mean_layers: int = 0
    """Blocks of a network that predicts the mean of the latents from the condition, so that the flow only models the rest.
    0: the flow models everything."""
    mean_dim: int = 256
    """Width of those blocks."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.dim % (2 * self.num_heads):
            raise UsageError(f"`dim` must be an even multiple of `num_heads` ({self.num_heads}), but is {self.dim}.")
        if not MIN_SCALE <= self.latent_scale <= 1 / MIN_SCALE:
            raise UsageError(
                f"`latent_scale` must lie in {MIN_SCALE:g} … {1 / MIN_SCALE:g}, but is {self.latent_scale}."
            )
        if self.normalizes_latents and self.latent_scale != 1:
            raise UsageError(f"`latent_scale` must be 1 where latents are normalized, but is {self.latent_scale}.")

    @property
    def input_dim(self) -> int:
        """Noisy latent, context latent and condition side by side."""
        return 2 * self.latent_dim + self.condition_dim


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalarConfig:
    """Shape of the scalar-quantized waveform autoencoder; strides are listed in the encoder's order."""

    latent_dim: int
    """Channels of one latent."""
    initial_channels: int
    """Channels after the first convolution; every stride doubles them."""
    strides: tuple[int, ...]
    """Down-sampling factors of the encoder; the decoder undoes them in reverse."""
    down_kernel_sizes: tuple[int, ...]
    """Kernel of each strided convolution, in the order of `strides`."""
    up_kernel_sizes: tuple[int, ...]
    """Kernel of each transposed convolution, in the decoder's order."""
    pool_samples: int = 1
    """Samples averaged before the first stride (the released `num_samples`); 1 leaves the stage out."""
    num_bands: int = 1
    """Waveform channels."""
    causal: bool = True
    """Left padding only; the decoder's first convolution looks ahead all the same."""
    kernel_size: int = 7
    """Kernel of the outer convolutions."""
    look_ahead_kernel_size: int = 5
    """Kernel of the decoder's first convolution (the released `delay_kernel_size`)."""
    residual_kernel_size: int = 7
    """Kernel of the dilated convolutions in the residual units."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not len(self.strides) == len(self.down_kernel_sizes) == len(self.up_kernel_sizes):
            raise UsageError(
                f"`strides`, `down_kernel_sizes` and `up_kernel_sizes` must have one entry a stride, but have "
                f"{len(self.strides)}, {len(self.down_kernel_sizes)} and {len(self.up_kernel_sizes)}."
            )
        doubled = tuple(2 * stride for stride in reversed(self.strides))
        if self.causal and self.up_kernel_sizes != doubled:
            raise UsageError(
                f"`up_kernel_sizes` of a causal model must be twice the strides, {doubled}, "
                f"but are {self.up_kernel_sizes}."
            )

    @property
    def hop_samples(self) -> int:
        """Samples behind one latent frame."""
        return self.pool_samples * prod(self.strides)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpectralConfig:
    """Shape of the spectral autoencoder: log-mel patches to latents, and a waveform from them."""

    latent_dim: int
    """Channels of one latent."""
    dim: int
    """Width of the blocks, all at the latents' rate."""
    num_encoder_layers: int
    """Blocks of the encoder."""
    num_decoder_layers: int
    """Blocks of the decoder."""
    num_bands: int = 100
    """Mel bands of a frame."""
    frame_hop: int = 240
    """Samples from frame to frame (10 ms)."""
    frames_per_latent: int = 4
    window_hops: int = 4
    """Hops in a window of the Fourier transform."""
    num_phase_rounds: int = 32
    """Rounds of the search for a waveform that has the decoded magnitudes."""
    kernel_size: int = 7
    """Kernel size of the convolutions over time; odd."""
    ff_multiplier: int = 3
    """Width of a block's inner layer divided by the width of the block."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.kernel_size % 2 == 0:
            raise UsageError(f"`kernel_size` must be odd, but is {self.kernel_size}.")
        if self.window_hops < 2 or self.frame_hop * self.window_hops % 2:
            raise UsageError(
                f"`window_hops` must be 2 or more, and its product with `frame_hop` even, but they are "
                f"{self.window_hops} and {self.frame_hop}."
            )

    @property
    def hop_samples(self) -> int:
        """Samples behind one latent frame."""
        return self.frame_hop * self.frames_per_latent
