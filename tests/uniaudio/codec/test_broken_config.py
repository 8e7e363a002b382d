"""A codec's folder whose `config.json` or weights are damaged ends in one line that says where, before anything is built."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from uniaudio_schemas.errors import DataError

from uniaudio.cli import main
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import PRESETS, CodecConfig
from uniaudio.testing import tiny_codec

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    tiny_codec().save(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "codec")
    return tmp_path / "codec"


def changed(*path_and_value) -> str:
    """The debug config with one value replaced, by its path."""
    *path, last, value = path_and_value
    values = json.loads(CodecConfig.preset("debug").to_json())
    place = values
    for name in path:
        place = place[name]
    place[last] = value
    return json.dumps(values)


@pytest.mark.parametrize("size", PRESETS)
def test_every_preset_survives_its_json(size):
    config = CodecConfig.preset(size)
    assert CodecConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"codec config: must be an object with the fields of CodecConfig, but is \[\]"),
        ("null", "codec config: must be an object"),
        ("{}", "must have the fields of CodecConfig, but lacks size, encoders,"),
        (b"\xff", "must be JSON in UTF-8, but is not"),
        ("[" * 100_000, "must be JSON, but is not"),
        ('{"dim": 1' + "0" * 5000 + "}", "must be JSON, but is not"),
        (changed("extra", 1), "has extra, which only a newer version may know"),
        (changed("dim", "96"), '`dim` must be a whole number, but is "96"'),
        (changed("dim", 96.0), "`dim` must be a whole number"),
        (changed("dim", True), "`dim` must be a whole number"),
        (changed("dim", 2**40), "`dim` must be a whole number from 1 to 16777216, but is 1099511627776"),
        (changed("encode_window_samples", 0), "`encode_window_samples` must be a whole number from 1"),
        (changed("pad_whisper", "no"), '`pad_whisper` must be true or false, but is "no"'),
        (changed("encoders", []), "`encoders` must be random or pretrained"),
        (changed("size", 3), "`size` must be a string, but is 3"),
        (changed("flow", None), "`flow` must be an object with the fields of FlowConfig, but is null"),
        (changed("whisper", []), "`whisper` must be an object"),
        (changed("reasoning_head_dim", 5), "codec config: `dim` must be a multiple of an even `reasoning_head_dim`"),
        (changed("reasoning_head_dim", 1), "`dim` must be a multiple of an even `reasoning_head_dim`"),
        (changed("music", "num_heads", 64), "`music.dim` must be an even multiple of `num_heads`"),
        (changed("flow", "latent_scale", 0.0), "`flow`: `latent_scale` must lie in 0.001 … 1000, but is 0.0"),
        (changed("flow", "num_heads", 0), "`flow`: `num_heads` must be a whole number from 1"),
        (changed("wavlm", "num_layers", 10**9), "`wavlm`: `num_layers` must be a whole number from 1 to 1024"),
        (changed("wavlm", "layers", [99]), "`wavlm`: `layers` must be 0 to `num_layers`"),
        (changed("wavlm", "layers", []), "`wavlm.layers` must name a state"),
        (changed("whisper", "num_heads", 5), "`whisper`: `dim` must be a multiple of `num_heads`"),
        (changed("scalar", "strides", 3), "`scalar.strides` must be a list, but is 3"),
        (changed("scalar", "strides", ["a"]), r"`scalar.strides\[0\]` must be a whole number"),
        (changed("scalar", "strides", [1] * 99), "`scalar`: `strides` must be a list of at most 16"),
        (changed("phone", "dead_code_threshold", float("nan")), "NaN is no finite number"),
    ],
)
def test_a_config_that_is_wrong_is_an_error_that_names_the_field(text, message):
    with pytest.raises(DataError, match=message):
        CodecConfig.from_json(text)


def test_a_config_whose_sizes_would_not_fit_into_memory_is_refused_before_anything_is_allocated(folder):
    wide = {"dim": 1 << 24, "num_heads": 1, "num_layers": 4}
    for text, message in (
        (changed("whisper", "ff_dim", 1 << 24), "misshapen: encoders.whisper"),
        (
            changed("whisper", {**json.loads(CodecConfig.preset("debug").to_json())["whisper"], **wide}),
            "misshapen|no codec can have these sizes",
        ),
        (changed("scalar", "initial_channels", 1 << 24), "misshapen|no codec can have these sizes"),
    ):
        (folder / "config.json").write_text(text)
        with pytest.raises(DataError, match=message):
            ReasoningCodec.load(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda bias: None, "1 missing: reconstruction.condition_out.bias"),
        (lambda bias: bias[:3].clone(), "1 misshapen: reconstruction.condition_out.bias"),
        (lambda bias: bias.to(torch.int32), "1 not floating point: reconstruction.condition_out.bias"),
        (lambda bias: bias * float("nan"), "1 not finite: reconstruction.condition_out.bias"),
    ],
)
def test_weights_that_are_wrong_are_one_line_that_names_the_tensor(folder, tmp_path, capsys, damage, message):
    tensors = load_file(folder / "codec.safetensors")
    damaged = damage(tensors.pop("reconstruction.condition_out.bias"))
    if damaged is not None:
        tensors["reconstruction.condition_out.bias"] = damaged
    save_file(tensors, folder / "codec.safetensors")
    assert main(["codec", "decode", "none", "--model", str(folder), "--out", str(tmp_path / "out.wav")]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1


def test_a_config_that_is_wrong_is_one_line_that_names_the_file(folder, tmp_path, capsys):
    (folder / "config.json").write_bytes(b'{"size": "\xff"')
    assert main(["codec", "decode", "none", "--model", str(folder), "--out", str(tmp_path / "out.wav")]) == 2
    printed = capsys.readouterr().err
    assert "codec/config.json: must be JSON in UTF-8, but is not" in printed and printed.count("\n") == 1
