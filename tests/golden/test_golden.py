"""The models still compute what they computed when the golden tensors were written (`tests/golden/tensors.py`)."""

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.golden.tensors import FOLDER, codec, of_codec, of_lm

TOLERANCES = {"gradient_norm": 1e-4, "hidden": 2e-3, "logits": 1e-4, "loss": 1e-4, "latents": 1e-4, "audio": 1e-2}
"""Error over value (both as norms), by a part of the name; in audio one latent may be rounded the other way. Integers are equal.

Processors round otherwise: what differs by 1e-6 on the EPYC that wrote the file differs by 4e-5 on a Xeon with AMX,
and by 4e-4 behind a log-mel spectrogram, whose quiet bands are the rounding errors of loud ones."""


def check(found: dict[str, Tensor], name: str) -> None:
    golden = load_file(FOLDER / f"{name}.safetensors")
    assert found.keys() == golden.keys()
    for key, expected in golden.items():
        if not expected.is_floating_point():
            assert torch.equal(found[key], expected), key
            continue
        tolerance = next(value for part, value in TOLERANCES.items() if part in key)
        error = (found[key] - expected).norm() / expected.norm()
        assert error <= tolerance, f"{key}: {error:.1e}"


def test_the_language_model_computes_its_golden_tensors() -> None:
    check(of_lm(), "lm")


def test_the_codec_computes_its_golden_tensors() -> None:
    pytest.importorskip("transformers")
    check(of_codec(), "codec")


def test_the_golden_codes_are_many() -> None:
    golden = load_file(FOLDER / "codec.safetensors")
    assert len(golden["reasoning_codes"].unique()) > 12
    assert len(golden["reconstruction_codes"].unique()) > 24


def test_the_golden_hidden_states_have_the_golden_codes() -> None:
    pytest.importorskip("transformers")
    golden, model = load_file(FOLDER / "codec.safetensors"), codec()
    codes_TQ = model.reasoning.quantizer.encode_indices(golden["reasoning_hidden"][None])[0]
    assert torch.equal(codes_TQ, golden["reasoning_codes"])
