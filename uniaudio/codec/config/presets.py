"""Sizes of the whole codec, as presets. Imports no torch, so that a flow can plan with it.

`CodecConfig.preset("debug")` runs in seconds on a CPU with random, frozen encoders; `released` and `released_1024` have
the authors' shapes. `starter` has another autoencoder, of mel spectrograms, and regresses the mean of its flow; else the
architecture is the same in all.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.plain import from_json

from uniaudio.audio.frames import RECONSTRUCTION_HOP, UNIT
from uniaudio.codec.config.fields import check_fields
from uniaudio.codec.config.parts import FlowConfig, ScalarConfig, SpectralConfig

LATENT_HOP = 960
"""Samples a scalar latent (25 Hz): half a reconstruction frame."""
NUM_CODEBOOKS = 8
RELEASED_DECAY = 0.9
RELEASED_DECODE_STEPS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerConfig:
    """Shape of one frozen encoder."""

    dim: int
    """Width of the hidden states."""
    num_layers: int
    num_heads: int
    ff_dim: int
    """Width of the feed-forward layers."""
    conv_dim: int
    """Channels of the convolutional front end (WavLM, music); Whisper's has `dim`."""
    layers: tuple[int, ...] = ()
    """Hidden states that are used, 0 being the input of the first layer; empty: the output of the last norm."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.dim % self.num_heads:
            raise UsageError(f"`dim` must be a multiple of `num_heads` ({self.num_heads}), but is {self.dim}.")
        if max(self.layers, default=0) > self.num_layers:
            raise UsageError(f"`layers` must be 0 to `num_layers` ({self.num_layers}), but are {self.layers}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizerConfig:
    """Shape of one residual quantizer."""

    num_levels: int
    codebook_size: int
    """Entries a level."""
    code_dim: int
    """Width in which neighbors are searched."""
    dead_code_threshold: float
    """Entries used less than this often (moving average) are replaced."""
    decay: float = RELEASED_DECAY
    """Decay of the moving averages per step. Small batches over many entries need more than the released 0.9."""
    normalizes: bool = False
    """Whether vectors are brought to mean 0 and deviation 1 before the search. Without it the vectors of a group with one
    level, whose error is large, shrink until they are all alike. The released quantizers do not normalize."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecConfig:
    """Everything that decides the codec's shapes and arithmetic; the weights are the rest of its identity."""

    size: str
    """Name of the preset."""
    encoders: Literal["random", "pretrained"]
    """`random`: initialized from `encoder_seed` and frozen, for the debug size: unless phase `encoders` trains them, its
    codes carry what random features of the audio carry. `pretrained`: read from local folders."""
    encoder_seed: int
    """Seed of random encoders."""
    whisper: TransformerConfig
    """Frames at 50 Hz from audio at 16 kHz."""
    wavlm: TransformerConfig
    """Frames at 50 Hz from audio at 16 kHz; the mean of the states in `layers` is used."""
    music: TransformerConfig
    """Frames at 25 Hz from audio at 24 kHz; `layers` are the acoustic and the semantic state."""
    dim: int
    """Width of both branches."""
    num_reasoning_layers: int
    """Blocks of the query transformer."""
    reasoning_head_dim: int
    """Width of one of its attention heads."""
    reasoning: QuantizerConfig
    """Eight levels at 5 Hz."""
    phone: QuantizerConfig
    """Level 0 of the reconstruction codes, from WavLM."""
    music_group: QuantizerConfig
    """Level 1, from the music encoder's semantic state."""
    acoustic: QuantizerConfig
    """Levels 2 to 7, from the music encoder's acoustic state and Whisper."""
    flow: FlowConfig
    """Transformer that turns reconstruction codes into scalar latents."""
    scalar: ScalarConfig | SpectralConfig
    """Waveform autoencoder behind the flow; the released one is a `ScalarConfig`."""
    has_direct_queries: bool = False
    """Whether a query of the reasoning branch starts as a linear map of its five frames; the released ones all start alike,
    and know their frames through attention alone."""
    phone_layers: tuple[int, ...] = ()
    """Hidden states of Whisper whose mean the phone group hears instead of WavLM's, so that a codec needs no WavLM; empty: it
    hears WavLM, as released."""
    phone_decoder_dim: int = 0
    """Width of the decoder that training compares with the phones; 0: as wide as they are, like the released one."""
    num_mel_bands: int = 0
    """Bands of a log-mel spectrogram that the groups of the reconstruction branch see beside their encoders; 0: they see
    none, as released."""
    num_text_layers: int = 0
    """Layers of the text decoder that is kept with the codec; 0: it keeps none, as released, and training throws its own away."""
    num_ctc_slots: int = 0
    """Bytes of a transcript, at most, that a CTC head spells from one reasoning frame; 0: the codec has none, as released."""
    pad_whisper: bool = False
    """Feed Whisper 30 s whatever the clip's length: imported weights, trained behind that padding, expect it."""
    encode_window_samples: int = 720_000
    """Longer clips are encoded in windows of this many samples (30 s, the released window)."""
    decode_steps: int = RELEASED_DECODE_STEPS
    """Euler steps of the flow where the caller names none; 0: the mean alone."""
    decode_window_latents: int = 500
    """Longer clips are decoded in windows of this many latents (20 s): no more than the flow saw in training, whose errors
    double behind it."""
    context_latents: int = 40
    """Latents (1.6 s) a decoding window takes over from the one before; within the 32 to 64 of training."""
    gpu_batch_samples: int = 960_000
    """Samples (40 s) in one batch of windows on a GPU: the batch's shape follows from the window's length alone."""

    def __post_init__(self) -> None:
        check_fields(self)
        self._check_encoders()
        self._check_quantizers()
        if self.encode_window_samples % UNIT:
            raise UsageError(
                f"`encode_window_samples` must be a multiple of {UNIT}, but is {self.encode_window_samples}."
            )
        if self.scalar.hop_samples != LATENT_HOP:
            raise UsageError(f"`scalar` must have a hop of {LATENT_HOP} samples, but has {self.scalar.hop_samples}.")
        if self.dim % self.reasoning_head_dim or self.reasoning_head_dim % 2:
            raise UsageError(
                f"`dim` must be a multiple of an even `reasoning_head_dim`, but they are {self.dim} and "
                f"{self.reasoning_head_dim}."
            )
        if (self.flow.latent_dim, self.flow.condition_dim) != (self.scalar.latent_dim, self.dim):
            raise UsageError("`flow.latent_dim` and `flow.condition_dim` must be `scalar.latent_dim` and `dim`.")
        step = RECONSTRUCTION_HOP // LATENT_HOP
        if self.decode_window_latents % step or self.context_latents % step:
            raise UsageError(f"`decode_window_latents` and `context_latents` must be multiples of {step}.")
        if not 0 < 2 * self.context_latents <= self.decode_window_latents:
            raise UsageError(f"`context_latents` must be at most half a window, but is {self.context_latents}.")

    def _check_encoders(self) -> None:
        if self.music.dim % (2 * self.music.num_heads):
            raise UsageError(f"`music.dim` must be an even multiple of `num_heads`, but is {self.music.dim}.")
        if max(self.phone_layers, default=0) > self.whisper.num_layers:
            raise UsageError(
                f"`phone_layers` must be 0 to {self.whisper.num_layers}, Whisper's layers, but are {self.phone_layers}."
            )
        if not self.wavlm.layers:
            raise UsageError("`wavlm.layers` must name a state, but is empty.")
        if len(self.music.layers) != 2:
            raise UsageError(f"`music.layers` must be two states, but is {self.music.layers}.")

    def _check_quantizers(self) -> None:
        groups = (self.phone, self.music_group, self.acoustic)
        for group in (self.reasoning, *groups):
            if not 1 < group.codebook_size <= 32_767:  # codes are stored as int16
                raise UsageError(f"`codebook_size` must be 2 to 32767, but is {group.codebook_size}.")
        num_levels = (self.reasoning.num_levels, sum(group.num_levels for group in groups))
        if num_levels != (NUM_CODEBOOKS, NUM_CODEBOOKS):
            raise UsageError(f"Both streams must have {NUM_CODEBOOKS} levels, but have {num_levels}.")
        if len({group.codebook_size for group in groups}) > 1:
            raise UsageError("`codebook_size` must be the same in `phone`, `music_group` and `acoustic`.")

    @property
    def phone_dim(self) -> int:
        """Width of the states that the phone group hears."""
        return self.whisper.dim if self.phone_layers else self.wavlm.dim

    @property
    def reasoning_codebook_size(self) -> int:
        """Entries of one level."""
        return self.reasoning.codebook_size

    @property
    def reconstruction_codebook_size(self) -> int:
        """Entries of one level, the same in all groups."""
        return self.acoustic.codebook_size

    @classmethod
    def preset(cls, size: str) -> "CodecConfig":
        """One of `PRESETS`."""
        if size not in PRESETS:
            raise UsageError(f"`size` must be one of {', '.join(PRESETS)}, but is {size!r}.")
        return PRESETS[size]()

    def to_dict(self) -> dict[str, Any]:
        """The sizes as plain values. Without younger fields at rest: codecs and plans from before them keep their
        identities."""
        values = asdict(self)
        if self.flow.latent_scale == 1:
            del values["flow"]["latent_scale"]
        if not self.flow.normalizes_latents:
            del values["flow"]["normalizes_latents"]
        if not self.flow.num_mean_layers:
            del values["flow"]["num_mean_layers"], values["flow"]["mean_dim"]
        for name in ("reasoning", "phone", "music_group", "acoustic"):
            if values[name]["decay"] == RELEASED_DECAY:
                del values[name]["decay"]
            if not values[name]["normalizes"]:
                del values[name]["normalizes"]
        if values["decode_steps"] == RELEASED_DECODE_STEPS:
            del values["decode_steps"]
        for name in (
            "has_direct_queries",
            "num_mel_bands",
            "phone_layers",
            "num_ctc_slots",
            "num_text_layers",
            "phone_decoder_dim",
        ):
            if not values[name]:
                del values[name]
        return values

    def to_json(self) -> str:
        """One line with sorted keys, so that equal configs are equal texts."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes, *, name: str = "codec config") -> "CodecConfig":
        """The inverse of `to_json`; a text that is none is a `DataError` that begins with `name`."""
        return from_json(cls, text, name)


def debug() -> CodecConfig:
    """Miniature with random encoders; encodes tens of times faster than real time on one core."""
    encoder = TransformerConfig(dim=64, num_layers=2, num_heads=4, ff_dim=128, conv_dim=32)
    quantizer = QuantizerConfig(num_levels=1, codebook_size=128, code_dim=16, dead_code_threshold=0.2)
    return CodecConfig(
        size="debug",
        encoders="random",
        encoder_seed=20260,
        whisper=encoder,
        wavlm=replace(encoder, layers=(1, 2)),
        music=replace(encoder, conv_dim=16, layers=(1, 2)),
        dim=96,
        num_reasoning_layers=2,
        reasoning_head_dim=48,
        reasoning=replace(quantizer, num_levels=8, codebook_size=64),
        phone=quantizer,
        music_group=quantizer,
        acoustic=replace(quantizer, num_levels=6),
        flow=FlowConfig(
            latent_dim=32, condition_dim=96, dim=96, num_layers=4, num_heads=4, ff_multiplier=3, time_dim=64
        ),
        scalar=ScalarConfig(
            latent_dim=32,
            initial_channels=8,
            strides=(8, 6, 5),
            down_kernel_sizes=(16, 12, 10),
            up_kernel_sizes=(10, 12, 16),
            pool_samples=4,
        ),
        num_text_layers=2,
        decode_window_latents=100,
    )


def starter() -> CodecConfig:
    """A real small codec that one CPU core can train: Whisper base, read from a local folder, for meaning and phones; a music
    encoder of random weights, beside which all groups hear mel; a flow of 8 M parameters, most of which regress its mean."""
    # Thresholds below what an entry of 1,024 is used in a batch of one core: above it all would be replaced at each step.
    quantizer = QuantizerConfig(num_levels=1, codebook_size=1024, code_dim=64, dead_code_threshold=0.05, decay=0.95)
    small = TransformerConfig(dim=192, num_layers=4, num_heads=6, ff_dim=768, conv_dim=128)
    return CodecConfig(
        size="starter",
        encoders="pretrained",
        encoder_seed=0,
        whisper=TransformerConfig(dim=512, num_layers=6, num_heads=8, ff_dim=2048, conv_dim=512),
        wavlm=replace(small, layers=(2, 3)),
        music=TransformerConfig(dim=96, num_layers=2, num_heads=4, ff_dim=384, conv_dim=32, layers=(1, 2)),
        dim=320,
        num_reasoning_layers=1,
        reasoning_head_dim=64,
        reasoning=replace(quantizer, num_levels=8, dead_code_threshold=0.02, normalizes=True),
        phone=replace(quantizer, normalizes=True),
        music_group=replace(quantizer, normalizes=True),
        acoustic=replace(quantizer, num_levels=6),
        flow=FlowConfig(
            latent_dim=128,
            condition_dim=320,
            dim=192,
            num_layers=3,
            num_heads=4,
            time_dim=192,
            normalizes_latents=True,
            num_mean_layers=6,
            mean_dim=384,
        ),
        scalar=SpectralConfig(latent_dim=128, dim=256, num_encoder_layers=2, num_decoder_layers=3),
        has_direct_queries=True,
        phone_layers=(3, 4),
        phone_decoder_dim=96,
        num_mel_bands=100,
        num_ctc_slots=8,
        num_text_layers=2,
        decode_steps=0,
        decode_window_latents=120,
    )


def released() -> CodecConfig:
    """The released 4096/8192 codec. Its scalar autoencoder's hyper-parameters are not published: `scalar` here is a
    guess that a loader replaces by what the tensors say."""
    quantizer = QuantizerConfig(num_levels=1, codebook_size=8192, code_dim=32, dead_code_threshold=2.0)
    medium = TransformerConfig(dim=1024, num_layers=24, num_heads=16, ff_dim=4096, conv_dim=512)
    return CodecConfig(
        size="released",
        encoders="pretrained",
        encoder_seed=0,
        whisper=medium,
        wavlm=TransformerConfig(dim=768, num_layers=12, num_heads=12, ff_dim=3072, conv_dim=512, layers=(6, 7, 8, 9)),
        music=replace(medium, num_layers=12, layers=(4, 11)),
        dim=768,
        num_reasoning_layers=5,
        reasoning_head_dim=128,
        reasoning=QuantizerConfig(num_levels=8, codebook_size=4096, code_dim=64, dead_code_threshold=0.1),
        phone=quantizer,
        music_group=quantizer,
        acoustic=replace(quantizer, num_levels=6),
        flow=FlowConfig(latent_dim=136, condition_dim=768, dim=1536, num_layers=32, num_heads=24),
        scalar=ScalarConfig(
            latent_dim=136,
            initial_channels=64,
            strides=(3, 4, 5, 8),
            down_kernel_sizes=(6, 8, 10, 16),
            up_kernel_sizes=(16, 10, 8, 6),
            pool_samples=2,
        ),
    )


def released_1024() -> CodecConfig:
    """The released codec with 1024 entries everywhere."""
    large = released()
    smaller = {
        name: replace(getattr(large, name), codebook_size=1024)
        for name in ("reasoning", "phone", "music_group", "acoustic")
    }
    return replace(large, size="released_1024", **smaller)


PRESETS = {"debug": debug, "starter": starter, "released": released, "released_1024": released_1024}
