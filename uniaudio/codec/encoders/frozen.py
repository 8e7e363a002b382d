"""The three frozen encoders behind one interface: audio in, the hidden states the codec uses out.

Reads    24 kHz mono waveform `[B, N]` float32, N a multiple of 9,600 samples
Writes   Whisper `[B, N/480, D]`, phones (WavLM) `[B, N/480, D]`, music acoustic and semantic `[B, N/960, D]`,
         log-mel patches `[B, N/1920, D]` where the codec has them

Whisper and WavLM are transformers' classes, imported only when one is built; the music encoder is built here. Never in
train mode and never with a gradient: frozen means buffers too.
"""

# Shapes: B batch, N samples, T frames, M mel bands, D width

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.frames import RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.mel import whisper_log_mel
from uniaudio.audio.resample import resample_tensor
from uniaudio.audio.torchaudio_cpu import import_torchaudio
from uniaudio.codec.config.presets import CodecConfig, TransformerConfig
from uniaudio.codec.encoders.music import MusicEncoder
from uniaudio.codec.patches import MelPatches

SPEECH_RATE = 16_000
# Samples from frame to frame of the mel patches (10 ms).
MEL_HOP = 240
# Zeros behind the audio that make WavLM's 400/320 front end give samples / 320 frames.
WAVLM_TAIL = 160
# Random weights are this much larger than 1/sqrt(fan in): GELU halves the variance of what passes.
RANDOM_GAIN = 1.4
# Whisper's position table has amplitude 1, which would drown what random convolutions say about the audio.
RANDOM_POSITION_SCALE = 0.1
# Of the biases of encoders that are to be trained. Without them digital silence is 0 before every layer norm, each of which
# multiplies its gradient by 316: after ten it is beyond float32.
TRAINED_BIAS_SCALE = 0.1


class Features(NamedTuple):
    """What the encoders say about a waveform."""

    whisper: Tensor
    """`[B, T50, D]`."""
    phones: Tensor
    """`[B, T50, D]`, of WavLM or of Whisper's layers."""
    music_acoustic: Tensor
    """`[B, T25, D]`."""
    music_semantic: Tensor
    """`[B, T25, D]`."""
    mel: Tensor = torch.empty(1, 0, 0)
    """Log-mel patches `[B, T12.5, D]`; of width 0 where the codec has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderFolders:
    """Local folders of pretrained encoders; nothing is ever downloaded."""

    whisper: Path
    """Folder of transformers with `config.json` and `model.safetensors`."""
    wavlm: Path | None = None
    """A folder of the same kind. None: random weights, for phase `encoders` to train."""
    music: Path | None = None
    """Folder with `model.safetensors` in the names of `MusicEncoder`. None: random weights, for phase `encoders` to train."""


class SemanticEncoder(nn.Module):
    """A frozen encoder: waveform at `sample_rate` in, one or more states `[B, T, D]` out."""

    sample_rate: int

    def train(self, mode: bool = True) -> "SemanticEncoder":
        """Stays in eval mode: a frozen encoder in train mode would move BatchNorm statistics and drop units."""
        return super().train(False)

    def states(self, waveform_BN: Tensor) -> tuple[Tensor, ...]:
        """`[B, N]` float32 at `sample_rate` -> the encoder's states, `[B, T, D]` each."""
        raise NotImplementedError


class WhisperStates(SemanticEncoder):
    """The output of Whisper's encoder at the clip's real length, or behind 30 s of padding."""

    sample_rate = SPEECH_RATE

    def __init__(self, model: Any, *, padded: bool, layers: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.model = model
        self.padded = padded
        self.layers = layers

    def states(self, waveform_BN: Tensor) -> tuple[Tensor, ...]:
        """`[B, N]` at 16 kHz -> `[B, N // 320, D]` each, 50 Hz: after the last norm; and the mean of `layers` if there are
        any, 0 being the input of the first layer."""
        num_frames = waveform_BN.shape[-1] // 320
        options = {} if self.padded else {"num_samples": None}
        mel_BMT = whisper_log_mel(waveform_BN, num_mels=self.model.num_mel_bins, **options)
        x_BDT = nn.functional.gelu(self.model.conv1(mel_BMT))
        x_BTD = nn.functional.gelu(self.model.conv2(x_BDT)).transpose(1, 2)
        # Not the class's own forward: that one accepts nothing but 30 s.
        x_BTD = x_BTD + self.model.embed_positions.weight[: x_BTD.shape[1]]
        hidden = [x_BTD]
        for layer in self.model.layers:
            hidden.append(layer(hidden[-1], None))
        last_BTD = self.model.layer_norm(hidden[-1])[:, :num_frames]
        if not self.layers:
            return (last_BTD,)
        return last_BTD, torch.stack([hidden[layer] for layer in self.layers]).mean(dim=0)[:, :num_frames]


class WavLMStates(SemanticEncoder):
    """The mean of some hidden states of WavLM."""

    sample_rate = SPEECH_RATE

    def __init__(self, model: Any, layers: tuple[int, ...]) -> None:
        super().__init__()
        self.model = model
        self.layers = layers

    def states(self, waveform_BN: Tensor) -> tuple[Tensor, ...]:
        """`[B, N]` at 16 kHz -> one state `[B, N // 320, D]`: 50 Hz, the mean of `layers`."""
        padded_BN = nn.functional.pad(waveform_BN, (0, WAVLM_TAIL))
        hidden = self.model(padded_BN, output_hidden_states=True).hidden_states
        return (torch.stack([hidden[layer] for layer in self.layers]).mean(dim=0),)


class MusicStates(SemanticEncoder):
    """An acoustic and a semantic hidden state of the music encoder."""

    sample_rate = SAMPLE_RATE

    def __init__(self, model: MusicEncoder) -> None:
        super().__init__()
        self.model = model

    def states(self, waveform_BN: Tensor) -> tuple[Tensor, ...]:
        """`[B, N]` at 24 kHz -> acoustic and semantic state `[B, N // 960, D]`: 25 Hz."""
        return tuple(self.model(waveform_BN))


class FrozenEncoders(nn.Module):
    """All three, over one waveform, and the mel patches beside them; without WavLM, Whisper gives a second state."""

    def __init__(
        self, whisper: SemanticEncoder, wavlm: SemanticEncoder | None, music: SemanticEncoder, *, num_mel_bands: int = 0
    ) -> None:
        super().__init__()
        self.patches = MelPatches(num_mel_bands, MEL_HOP, RECONSTRUCTION_HOP // MEL_HOP) if num_mel_bands else None
        self.whisper = whisper
        self.wavlm = wavlm
        self.music = music
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, waveform_BN: Tensor) -> Features:
        """`[B, N]` at 24 kHz; N a multiple of 9,600, so that all frame counts are whole."""
        speech_BN = resample_tensor(waveform_BN, SAMPLE_RATE, SPEECH_RATE)
        whisper, phones = (*self.whisper.states(speech_BN), *(self.wavlm.states(speech_BN) if self.wavlm else ()))
        acoustic, semantic = self.music.states(waveform_BN)
        mel = waveform_BN.new_empty(len(waveform_BN), waveform_BN.shape[1] // RECONSTRUCTION_HOP, 0)
        return Features(whisper, phones, acoustic, semantic, self.patches(waveform_BN) if self.patches else mel)


def random_encoders(config: CodecConfig, *, bias_scale: float = 0.0) -> FrozenEncoders:
    """Encoders of the configured shapes whose weights come from `encoder_seed` alone; `bias_scale`: deviation of the
    biases."""
    encoders = empty_encoders(config)
    with torch.no_grad():
        _randomize(encoders, config.encoder_seed, bias_scale)
        encoders.whisper.model.embed_positions.weight.copy_(_sinusoids(encoders.whisper.model.embed_positions.weight))  # type: ignore[union-attr, operator, arg-type]
    return encoders


def empty_encoders(config: CodecConfig) -> FrozenEncoders:
    """Encoders of the configured shapes; their weights are about to be filled in."""
    return FrozenEncoders(
        WhisperStates(
            _whisper_class()(_whisper_config(config.whisper)), padded=config.pad_whisper, layers=config.phone_layers
        ),
        None if config.phone_layers else _wavlm(config.wavlm),
        MusicStates(MusicEncoder(config.music)),
        num_mel_bands=config.num_mel_bands,
    ).eval()


def _wavlm(config: TransformerConfig) -> WavLMStates:
    return WavLMStates(import_transformers().WavLMModel(_wavlm_config(config)), config.layers)


def pretrained_encoders(config: CodecConfig, folders: EncoderFolders) -> FrozenEncoders:
    """Encoders read from local folders; the config's shapes must be theirs. WavLM's is left alone where Whisper stands for
    it."""
    from safetensors.torch import load_file

    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    if config.phone_layers:
        folders = replace(folders, wavlm=None)
    for folder in (folders.whisper, folders.wavlm, folders.music):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"`encoder_folders` must be local folders, but {folder} is none.")
    complete = bool(config.phone_layers or folders.wavlm is not None) and folders.music is not None
    encoders = empty_encoders(config) if complete else random_encoders(config, bias_scale=TRAINED_BIAS_SCALE)
    try:
        whisper = import_transformers().WhisperModel.from_pretrained(folders.whisper, **options).encoder
        encoders.whisper.model.load_state_dict(whisper.state_dict())  # type: ignore[union-attr]
        if folders.wavlm is not None:
            wavlm = import_transformers().WavLMModel.from_pretrained(folders.wavlm, **options)
            encoders.wavlm.model.load_state_dict(wavlm.state_dict())  # type: ignore[union-attr]
        if folders.music is not None:
            music = load_file(folders.music / "model.safetensors")
            encoders.music.model.load_state_dict(music)  # type: ignore[union-attr]
    except (OSError, RuntimeError) as error:
        raise DataError(f"{folders}: {error}") from error
    return encoders


def _randomize(module: nn.Module, seed: int, bias_scale: float) -> None:
    """Weights by fan-in from one seed, in the order of their names; norms and biases at rest. Not the library's own
    initialization, which may change with its version."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        if name.endswith("original0"):  # gain of a weight norm
            parameter.fill_(1.0)
        elif parameter.dim() > 1:
            scale = RANDOM_GAIN * parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
        else:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            if bias_scale and not name.endswith("weight"):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * bias_scale)


def _sinusoids(table_TD: Tensor) -> Tensor:
    num_positions, dim = table_TD.shape
    frequency = 10_000.0 ** (-torch.arange(dim // 2) / (dim // 2 - 1))
    angle = torch.arange(num_positions)[:, None] * frequency[None]
    return torch.cat([angle.sin(), angle.cos()], dim=1) * RANDOM_POSITION_SCALE


def import_transformers() -> Any:
    """The package, once the shim it may need is there; its import takes seconds."""
    if importlib.util.find_spec("transformers") is None:
        raise UsageError("The codec's Whisper and WavLM encoders need transformers: install `uniaudio[encoders]`.")
    if importlib.util.find_spec("torchaudio") is not None:
        # transformers imports it where it is installed, and dies where its extension does not load.
        import_torchaudio()
    import transformers

    return transformers


def _whisper_class() -> Any:
    import_transformers()
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperEncoder


def _whisper_config(config: TransformerConfig) -> Any:
    return import_transformers().WhisperConfig(
        d_model=config.dim,
        encoder_layers=config.num_layers,
        encoder_attention_heads=config.num_heads,
        encoder_ffn_dim=config.ff_dim,
        decoder_layers=1,
        decoder_attention_heads=config.num_heads,
        decoder_ffn_dim=config.ff_dim,
        num_mel_bins=80,
    )


def _wavlm_config(config: TransformerConfig) -> Any:
    return import_transformers().WavLMConfig(
        hidden_size=config.dim,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        intermediate_size=config.ff_dim,
        conv_dim=(config.conv_dim,) * 7,
        num_conv_pos_embeddings=128 if config.dim >= 512 else 32,
        num_conv_pos_embedding_groups=16 if config.dim >= 512 else 4,
        # Phase `encoders` hides frames itself and drops nothing: dropped layers would not be the same on all workers.
        layerdrop=0.0,
        mask_feature_prob=0.0,
    )
