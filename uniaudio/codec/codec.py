"""ReasoningCodec: audio to two streams of codes and back. START HERE.

Reads    audio `[N]` or `[C, N]` in -1..1, any rate, any length above zero, any loudness (it is taken as it is)
Writes   per clip R = ceil(N / 4800) reasoning and T = ceil(N / 1920) reconstruction frames of eight codes each
Row in   69,105 samples
Row out  Codes(reasoning [15, 8] int16, reconstruction [36, 8] int16, num_samples=69105)

The codes of a clip are a function of its audio, the codec and the numerics (device kind, instruction set, versions):
never of what else is encoded, in which order or batch. `encoding.py` says how.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.frames import RECONSTRUCTION_HOP, SAMPLE_RATE, num_reasoning_frames, num_reconstruction_frames
from uniaudio.codec import decoding, encoding, windows
from uniaudio.codec.autoencoder import Autoencoder
from uniaudio.codec.config.parts import ScalarConfig, SpectralConfig
from uniaudio.codec.config.presets import NUM_CODEBOOKS, CodecConfig
from uniaudio.codec.encoders.frozen import EncoderFolders, empty_encoders, pretrained_encoders, random_encoders
from uniaudio.codec.fingerprint import fingerprint
from uniaudio.codec.flow import FlowTransformer
from uniaudio.codec.flow_matching import LATENTS_PER_FRAME, RELEASED_GUIDANCE, FlowMatching
from uniaudio.codec.reasoning import ReasoningBranch
from uniaudio.codec.reconstruction import ReconstructionBranch
from uniaudio.codec.released.compat import compat_clip, decode_clip
from uniaudio.codec.scalar import ScalarAutoencoder
from uniaudio.codec.spectral import SpectralAutoencoder
from uniaudio.codec.text_decoder import MAX_FRAMES, MAX_TEXT_BYTES, TextDecoder
from uniaudio.codec.weights import check_fit
from uniaudio.tensor_file import write_tensors

MODEL_CODEC = "codec"
"""Folder of the codec inside a model's folder."""
CONFIG_FILE, WEIGHTS_FILE = "config.json", "codec.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """One clip in codes."""

    reasoning: np.ndarray
    """`[R, 8]` int16, R = ceil(num_samples / 4800)."""
    reconstruction: np.ndarray
    """`[T, 8]` int16, T = ceil(num_samples / 1920)."""
    num_samples: int
    """At 24 kHz; the length of what `decode` gives back."""


class ReasoningCodec(nn.Module):
    """Frozen encoders, two branches of codes, a flow, a waveform decoder and, of some sizes, what reads text from the codes."""

    arithmetic = encoding.Arithmetic()
    """How `encode` computes. Codes of another arithmetic differ, so whoever keeps them stamps it."""

    def __init__(self, config: CodecConfig, encoders: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.encoders = encoders
        self.reasoning = ReasoningBranch(config)
        self.reconstruction = ReconstructionBranch(config)
        self.flow = FlowMatching(FlowTransformer(config.flow))
        self.scalar = build_autoencoder(config.scalar)
        self.text = (
            TextDecoder(config.dim, num_layers=config.num_text_layers, max_bytes=MAX_TEXT_BYTES, max_frames=MAX_FRAMES)
            if config.num_text_layers
            else None
        )

    @classmethod
    def create(
        cls, config: CodecConfig, *, seed: int = 0, encoder_folders: EncoderFolders | None = None
    ) -> "ReasoningCodec":
        """A codec to be trained: its own parts from `seed`, its encoders as `config.encoders` says."""
        if config.encoders == "random":
            encoders = random_encoders(config)
        elif encoder_folders is None:
            raise UsageError(f"`encoder_folders` must be given at size {config.size}, whose encoders are pretrained.")
        else:
            encoders = pretrained_encoders(config, encoder_folders)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config, encoders).eval()

    def encode(
        self,
        clips: Sequence[np.ndarray | Tensor],
        *,
        sample_rate: int = SAMPLE_RATE,
        compat: bool = False,
        work: encoding.EncodeWork | None = None,
    ) -> list[Codes]:
        """Codes of each clip `[N]` or `[C, N]` (the mean of its channels) at `sample_rate` (Hz).

        Audio that is empty, not finite, not floating point or far beyond full scale is a `UsageError` that names the
        clip. `compat` cuts and counts as the released tokenizer does. `work` counts samples.
        """
        windows.check_rate(sample_rate)
        checked = [windows.check_clip(clip, index) for index, clip in enumerate(clips)]
        lengths = [windows.num_samples_24k(clip_CN, sample_rate) for clip_CN in checked]
        encoded = (
            [compat_clip(self, clip_CN, sample_rate) for clip_CN in checked]
            if compat
            else encoding.encode_clips(self, checked, sample_rate=sample_rate, work=work)
        )
        return [Codes(_to_int16(clip[0]), _to_int16(clip[1]), n) for clip, n in zip(encoded, lengths, strict=True)]

    def encode_stream(
        self,
        clips: Iterable[np.ndarray | Tensor],
        take: Callable[[int, Codes], None],
        work: encoding.EncodeWork | None = None,
    ) -> None:
        """Give `take` the number and the codes of each clip `[N]` or `[C, N]` at 24 kHz as soon as they are there.

        The codes are those of `encode`; clips are asked for as they are needed, and a GPU is kept full from one to the next.
        """
        lengths: dict[int, int] = {}

        def checked() -> Iterator[Tensor]:
            for index, clip in enumerate(clips):
                clip_CN = windows.check_clip(clip, index)
                lengths[index] = clip_CN.shape[1]
                yield clip_CN

        def taken(index: int, encoded: encoding.Encoded) -> None:
            take(index, Codes(_to_int16(encoded[0]), _to_int16(encoded[1]), lengths.pop(index)))

        encoding.encode_stream(self, checked(), taken, sample_rate=SAMPLE_RATE, work=work)

    def compile_encoders(self) -> None:
        """For good: torch compiles every layer of the encoders' transformers for each length of a window that it meets."""
        for part in self.encoders.modules():
            for layer in part if isinstance(part, nn.ModuleList) else ():
                # Those of the convolutional front ends have none, and gain nothing.
                if any(isinstance(inner, nn.Linear) for inner in layer.modules()):
                    layer.compile(dynamic=False)
        self.arithmetic = replace(self.arithmetic, compiled=True)

    def encode_batch(self, waveform_BN: Tensor) -> list[encoding.Encoded]:
        """Every window of a batch `[B, N]` on the codec's device; what `encode` calls, with settled numerics."""
        return encoding.encode_batch(self, waveform_BN)

    def encode_blocks(self, blocks: Iterable[np.ndarray | Tensor], sample_rate: int = SAMPLE_RATE) -> Codes:
        """The codes that `encode` gives for the joined blocks `[n]` or `[C, n]`, in the memory of one window."""
        encoded, num_samples = encoding.encode_blocks(self, blocks, sample_rate)
        return Codes(_to_int16(encoded.reasoning_codes), _to_int16(encoded.reconstruction_codes), num_samples)

    def decode(
        self,
        codes: Sequence[Codes],
        *,
        steps: int | None = None,
        guidance: float = RELEASED_GUIDANCE,
        seed: int = 0,
        window_latents: int = 0,
        use_reasoning: bool = False,
        compat: bool = False,
    ) -> list[np.ndarray]:
        """Audio `[num_samples]` float32 at 24 kHz of each clip.

        A clip's noise depends on `seed` alone, not on its neighbors. `steps` of the flow are the codec's own unless
        given; 0 gives the mean of what the codes allow, where the codec regresses it. `use_reasoning` tells the flow the reasoning codes
        too; a codec that was not trained with them (the released one) is better without. `window_latents` (25 Hz) is
        drawn at once; 0: the codec's own. `compat` decodes in the released windows: every clip gets `T * 1920` samples,
        whatever its `num_samples`.
        """
        settings = self._decode_settings(steps, guidance, seed, window_latents)
        if isinstance(codes, Codes):
            raise UsageError("`codes` must be a list of `Codes`, but is one `Codes`.")
        for index, clip in enumerate(codes):
            self._check_codes(clip, index, reasoning=use_reasoning, compat=compat)
        frames = [_to_int64(clip.reconstruction) for clip in codes]
        if compat:
            return [decode_clip(self, codes_TQ, settings).numpy() for codes_TQ in frames]
        reasoning = [_to_int64(clip.reasoning) for clip in codes] if use_reasoning else None
        waveforms = decoding.decode_clips(self, frames, settings, reasoning)
        return [
            np.ascontiguousarray(waveform_N[: clip.num_samples].numpy())
            for waveform_N, clip in zip(waveforms, codes, strict=True)
        ]

    def decode_stream(
        self,
        clip: Codes,
        *,
        steps: int | None = None,
        guidance: float = RELEASED_GUIDANCE,
        seed: int = 0,
        use_reasoning: bool = False,
    ) -> Iterator[np.ndarray]:
        """What `decode` gives for one clip, in pieces `[n]`, each as soon as its window is drawn."""
        settings = self._decode_settings(steps, guidance, seed)
        self._check_codes(clip, 0, reasoning=use_reasoning)
        reasoning_1RQ = _to_int64(clip.reasoning)[None] if use_reasoning else None
        blocks = [_to_int64(clip.reconstruction)[None]]
        return _cut(decoding.decode_pieces(self, blocks, settings, reasoning_1RQ), clip.num_samples)

    def decode_frames(
        self,
        blocks: Iterable[np.ndarray],
        *,
        steps: int | None = None,
        guidance: float = RELEASED_GUIDANCE,
        seed: int = 0,
        window_latents: int = 0,
    ) -> Iterator[np.ndarray]:
        """What `decode` gives for reconstruction codes that are still being written: `[t, 8]` each, in order.

        Pieces `[n]`, `T * 1920` samples in all, each as soon as the frame behind its window is there.
        """
        settings = self._decode_settings(steps, guidance, seed, window_latents)
        checked = (self._checked_frames(block) for block in blocks)
        return _cut(decoding.decode_pieces(self, checked, settings))

    def _checked_frames(self, block: np.ndarray) -> Tensor:
        codes_tQ = windows.as_array(block, "A block of codes")
        num_samples = RECONSTRUCTION_HOP * (len(codes_tQ) if codes_tQ.ndim else 1)
        self._check_codes(Codes(np.zeros((0, NUM_CODEBOOKS)), codes_tQ, num_samples), 0, reasoning=False)
        return _to_int64(codes_tQ)[None]

    def _decode_settings(
        self, steps: int | None, guidance: float, seed: int, window_latents: int = 0
    ) -> decoding.DecodeSettings:
        steps = self.config.decode_steps if steps is None else steps
        settings = decoding.DecodeSettings(steps=steps, guidance=guidance, seed=seed, window_latents=window_latents)
        if settings.steps == 0 and self.flow.mean is None:
            raise UsageError("`steps` must be a whole number, 1 or more, but is 0: this codec regresses no mean.")
        least = 2 * self.config.context_latents
        if window_latents and (window_latents < least or window_latents % LATENTS_PER_FRAME):
            raise UsageError(
                f"`window_latents` must be a multiple of {LATENTS_PER_FRAME} and {least} or more, "
                f"but is {window_latents}."
            )
        return settings

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.reconstruction.padding_condition.device

    @property
    def fills_batches(self) -> bool:
        """Whether windows are computed in full batches, as on a GPU, or one at a time."""
        return self.device.type != "cpu"

    @property
    def fingerprint(self) -> str:
        """32 hex digits over the config and every tensor; changes with any training step."""
        return fingerprint(self.config.to_json(), self.state_dict())

    def save(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Write `config.json` and `codec.safetensors`, encoders included, so that a codec is one thing.

        In a `dtype` of 16 bits the file is half as large, and its numbers are rounded: `load` gives a codec that computes in
        float32 as ever, with a fingerprint and codes of its own.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
            for name, tensor in self.state_dict().items()
        }
        write_tensors(tensors, folder / WEIGHTS_FILE)
        (folder / CONFIG_FILE).write_text(self.config.to_json())

    def is_exact_in(self, dtype: torch.dtype) -> bool:
        """Whether `save` in `dtype` rounds none of its numbers, as those of a codec that was saved so before."""
        numbers = (tensor for tensor in self.state_dict().values() if tensor.is_floating_point())
        return all(torch.equal(tensor.to(dtype).to(tensor.dtype), tensor) for tensor in numbers)

    @classmethod
    def load(cls, folder: str | Path) -> "ReasoningCodec":
        """The codec that `save` wrote, or the one inside a model's folder; a missing, unknown or misshapen tensor is a `DataError`."""
        if (Path(folder) / MODEL_CODEC / CONFIG_FILE).is_file():
            folder = Path(folder) / MODEL_CODEC
        config_path = Path(folder) / CONFIG_FILE
        if not config_path.is_file():
            raise UsageError(f"`folder` must hold a codec, but {config_path} is missing.")
        config = CodecConfig.from_json(config_path.read_bytes(), name=str(config_path))
        return cls._load(config, Path(folder) / WEIGHTS_FILE)

    @classmethod
    def load_files(cls, config_json: str, weights: str | Path) -> "ReasoningCodec":
        """From the two columns `config` and `weights` (a blob's path) of a row of `codec`."""
        return cls._load(CodecConfig.from_json(config_json), weights)

    @classmethod
    def _load(cls, config: CodecConfig, weights: str | Path) -> "ReasoningCodec":
        try:
            tensors = load_file(weights)
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise DataError(f"{weights}: not the weights of a {config.size} codec: {error}") from error
        # Before anything is built: sizes that are not those of the weights might not even fit into memory.
        check_fit(shell_state(config), tensors, what=f"{weights}: not the weights of a {config.size} codec")
        with torch.random.fork_rng(devices=[]):
            codec = cls(config, empty_encoders(config))
        codec.load_state_dict(tensors)
        return codec.eval()

    def _check_codes(self, clip: Codes, index: int, *, reasoning: bool, compat: bool = False) -> None:
        if not isinstance(clip, Codes):
            raise UsageError(f"Clip {index} must be `Codes`, but is {type(clip).__name__}.")
        config = self.config
        streams = {
            "reconstruction": (clip.reconstruction, num_reconstruction_frames, config.reconstruction_codebook_size)
        }
        if reasoning:
            streams["reasoning"] = (clip.reasoning, num_reasoning_frames, config.reasoning_codebook_size)
        if not isinstance(clip.num_samples, int | np.integer) or clip.num_samples < 1:
            raise UsageError(
                f"Clip {index}: `num_samples` must be a whole number, 1 or more, but is {clip.num_samples!r}."
            )
        for name, (given, num_frames, size) in streams.items():
            codes = windows.as_array(given, f"Clip {index}: `{name}`")
            if codes.dtype.kind not in "iu":
                raise UsageError(f"Clip {index}: `{name}` must be whole numbers, but is {codes.dtype}.")
            expected = (*codes.shape[:1], NUM_CODEBOOKS) if compat else (num_frames(clip.num_samples), NUM_CODEBOOKS)
            if codes.shape != expected or not codes.size:
                raise UsageError(f"Clip {index}: `{name}` must be {expected} and not empty, but is {codes.shape}.")
            if codes.min() < 0 or codes.max() >= size:
                raise UsageError(
                    f"Clip {index}: `{name}` must be 0 to {size - 1}, but is {codes.min()} to {codes.max()}."
                )


def build_autoencoder(config: ScalarConfig | SpectralConfig) -> Autoencoder:
    """The one that a config is of."""
    return SpectralAutoencoder(config) if isinstance(config, SpectralConfig) else ScalarAutoencoder(config)


def shell_state(config: CodecConfig) -> dict[str, Tensor]:
    """The state dict of a codec of these sizes on the meta device; sizes that no codec can have are a `DataError`."""
    try:
        with torch.device("meta"):
            return ReasoningCodec(config, empty_encoders(config)).state_dict()
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"codec config: no codec can have these sizes: {error}") from error


def _cut(pieces: Iterable[Tensor], num_samples: int | None = None) -> Iterator[np.ndarray]:
    """`[1, n]` each -> `[n]`, at most `num_samples` in all."""
    done = 0
    for piece_1n in pieces:
        left = None if num_samples is None else num_samples - done
        yield np.ascontiguousarray(piece_1n[0, :left].numpy())
        done += piece_1n.shape[1]


def _to_int16(codes: Tensor) -> np.ndarray:
    return codes.cpu().numpy().astype(np.int16)


def _to_int64(codes: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(codes).astype(np.int64))
