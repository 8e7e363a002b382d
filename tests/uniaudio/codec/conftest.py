"""Golden tensors of the released codec: where they are, how they are read, what counts as equal."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

REPOSITORY = Path(__file__).parents[3]
# Processors round otherwise: up to 5.4e-5 on a Xeon with AMX, 1e-6 on an EPYC.
FLOAT_TOLERANCE = 1e-4
# Codes are compared only where the two nearest code vectors differ by more than float noise.
SMALLEST_MARGIN = 1e-4
# The sizes of the golden model that no tensor shows.
HEAD_DIMS = {"flow_head_dim": 16, "whisper_head_dim": 8}
ENCODER_PREFIXES = ("whisper_encoder.", "wavlm_encoder.", "pretrained_model.")


class Golden:
    """One folder of golden tensors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tensors(self, case: str, part: str) -> dict[str, Tensor]:
        return load_file(self.folder / f"{case}.{part}.safetensors")

    def info(self, case: str) -> dict[str, Any]:
        return json.loads((self.folder / "manifest.json").read_text())["cases"][case]["info"]

    @staticmethod
    def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = FLOAT_TOLERANCE) -> None:
        """The largest error over the largest value stays within the tolerance."""
        assert ours.shape == theirs.shape
        error = (ours.double() - theirs.double()).abs().max() / theirs.double().abs().max().clamp(min=1e-12)
        assert error <= tolerance, f"relative error {error:.2e}"

    @staticmethod
    def assert_codes_equal(ours: Tensor, theirs: Tensor, margins: Tensor | None = None) -> None:
        """Every code whose level, and all levels before it, had a clear winner."""
        assert ours.shape == theirs.shape
        clear = torch.ones_like(theirs, dtype=torch.bool) if margins is None else _clear(margins)
        assert torch.equal(ours[clear], theirs[clear])


def _clear(margins_BTQ: Tensor) -> Tensor:
    return (margins_BTQ > SMALLEST_MARGIN).int().cumprod(dim=-1).bool()


@pytest.fixture(scope="session")
def golden() -> Golden:
    folder = Path(os.environ.get("UNIAUDIO_PARITY", REPOSITORY.parent / "shared" / "parity")) / "codec"
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"no golden tensors in {folder}: set UNIAUDIO_PARITY to the folder that holds `codec/` and `lm/`")
    return Golden(folder)


@pytest.fixture(scope="session")
def golden_encoders(golden):
    """The golden model's frozen encoders at its tiny sizes; transformers takes seconds to import."""
    from uniaudio.audio.torchaudio_cpu import import_torchaudio

    pytest.importorskip("transformers")
    if importlib.util.find_spec("torchaudio") is not None:
        import_torchaudio()
    import transformers
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from uniaudio.codec.encoders.frozen import FrozenEncoders, MusicStates, WavLMStates, WhisperStates
    from uniaudio.codec.encoders.music import MusicEncoder
    from uniaudio.codec.released.config import released_config
    from uniaudio.codec.released.load import codec_state

    weights, scalar = golden.tensors("model", "weights"), golden.tensors("tokenizer_decode", "scalar_weights")
    info = golden.info("model")
    encoders = FrozenEncoders(
        WhisperStates(WhisperEncoder(transformers.WhisperConfig(**info["whisper"])), padded=True),
        WavLMStates(transformers.WavLMModel(transformers.WavLMConfig(**info["wavlm"])), (6, 7, 8, 9)),
        MusicStates(MusicEncoder(released_config(weights, scalar, causal=True, **HEAD_DIMS).music)),
    ).eval()
    state = codec_state(weights)
    encoders.load_state_dict({key[9:]: value for key, value in state.items() if key.startswith("encoders.")})
    return encoders


@pytest.fixture
def golden_codec(golden):
    """Builds the golden model without its encoders (their features are golden too), scalar autoencoder included."""
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.released.config import released_config
    from uniaudio.codec.released.load import fill_released

    def build(case: str) -> ReasoningCodec:
        scalar = golden.tensors("tokenizer_decode", "scalar_weights")
        weights = golden.tensors(case, "weights")
        config = released_config(weights, scalar, causal=True, **HEAD_DIMS)
        codec = ReasoningCodec(config, torch.nn.Module())
        without_encoders = {key: value for key, value in weights.items() if not key.startswith(ENCODER_PREFIXES)}
        fill_released(codec, without_encoders, scalar)
        return codec.eval()

    return build


@pytest.fixture
def golden_features(golden):
    """Reads encoder features of a case, as ours: time before channels, Whisper at the clip's length."""
    from uniaudio.codec.encoders.frozen import Features

    def read(io: dict[str, Tensor], prefix: str = "") -> Features:
        wavlm = io[f"{prefix}wavlm_feature"].transpose(1, 2)
        whisper = io[f"{prefix}whisper_last_hidden"][:, : wavlm.shape[1]]
        music = [io[f"{prefix}bestrq_{state}"].transpose(1, 2) for state in ("acoustic", "semantic")]
        return Features(whisper, wavlm, *music)

    return read
