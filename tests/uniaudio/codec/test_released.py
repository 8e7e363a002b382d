"""Loading released files: all 1,735 keys have a place, sizes come from the tensors, and no mistake is silent."""

import importlib.util
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from uniaudio_schemas.errors import DataError

from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.released.config import released_config
from uniaudio.codec.released.load import RULES, codec_state, fill_released, read_released
from uniaudio.codec.released.parts import new_weight_norm_names, old_key, rename
from uniaudio.codec.released.scalar import scalar_rules


@pytest.fixture(scope="module")
def released_layout(golden) -> dict[str, torch.Tensor]:
    """The released state dict at its real sizes, without storage."""
    lines = (golden.folder / "state_dict_layout.txt").read_text().splitlines()
    fields = [line.split("\t") for line in lines if line.count("\t") == 3]
    return {
        name: torch.empty([int(size) for size in shape.strip("()").split(",") if size.strip()], device="meta")
        for _, name, shape, _ in fields
    }


@pytest.fixture(scope="module")
def scalar_layout(golden) -> dict[str, torch.Tensor]:
    """The golden scalar autoencoder with the released latent width."""
    tensors = golden.tensors("scalar_causal", "weights")
    wide = tensors["decoder.0.weight_v"].new_empty(32, 136, 5)
    return {**tensors, "decoder.0.weight_v": wide}


def test_codec_sizes_read_from_the_released_tensors_are_those_of_the_preset(released_layout, scalar_layout):
    config = released_config(released_layout, scalar_layout, causal=True)
    preset = CodecConfig.preset("released")
    # Whisper's convolutions are as wide as its blocks, so that its `conv_dim` means nothing.
    assert replace(config, scalar=preset.scalar, whisper=preset.whisper) == replace(preset, pad_whisper=True)
    assert replace(config.whisper, conv_dim=preset.whisper.conv_dim) == preset.whisper


def test_codec_sizes_of_the_small_release_are_read_from_its_tensors(released_layout, scalar_layout):
    small = {
        name: tensor[:, :1024] if "_codebook." in name and tensor.dim() else tensor
        for name, tensor in released_layout.items()
    }
    config = released_config(small, scalar_layout, causal=True)
    preset = CodecConfig.preset("released_1024")
    assert replace(config, scalar=preset.scalar, whisper=preset.whisper) == replace(preset, pad_whisper=True)


@pytest.mark.slow
def test_codec_every_released_key_has_a_place_of_its_shape_and_none_is_missing(released_layout):
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers builds Whisper and WavLM")
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.encoders.frozen import empty_encoders

    assert len(released_layout) == 1735
    config = CodecConfig.preset("released")
    with torch.device("meta"):
        codec = ReasoningCodec(config, empty_encoders(config))
    ours = {name: tensor.shape for name, tensor in codec.state_dict().items() if not name.startswith("scalar.")}
    assert {name: tensor.shape for name, tensor in codec_state(released_layout).items()} == ours


def test_codec_every_released_key_that_is_used_can_be_told_from_ours(released_layout, scalar_layout):
    scalar = new_weight_norm_names(scalar_layout)
    for theirs, rules in ((new_weight_norm_names(released_layout), RULES), (scalar, scalar_rules(scalar))):
        for key in theirs:
            for ours in rename({key: torch.zeros(())}, rules, part="one"):
                # The one alternative that names of ours do not show.
                assert old_key(rules, ours).replace("conv|deconv", "conv") == key.replace(".deconv.", ".conv.")


@pytest.fixture
def tiny(golden, golden_codec):
    """A codec and the two released state dicts that fit it; the encoders are left out."""
    weights = golden.tensors("model", "weights")
    encoders = ("whisper_encoder.", "wavlm_encoder.", "pretrained_model.")
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith(encoders)}
    return golden_codec("model"), weights, golden.tensors("tokenizer_decode", "scalar_weights")


def test_codec_a_missing_tensor_is_an_error_that_names_it(tiny):
    codec, weights, scalar = tiny
    del weights["reason_adaptor.bias"]
    with pytest.raises(DataError, match=r"1 missing: reason_adaptor\.bias\."):
        fill_released(codec, weights, scalar)


def test_codec_an_unknown_tensor_is_an_error_that_names_it(tiny):
    codec, weights, scalar = tiny
    weights["reason_adapter.bias"] = torch.zeros(4)
    with pytest.raises(DataError, match=r"reason_adapter\.bias"):
        fill_released(codec, weights, scalar)


def test_codec_a_level_too_many_is_an_error(tiny):
    codec, weights, scalar = tiny
    weights["vq_acoustic.layers.6._codebook.embed"] = weights["vq_acoustic.layers.5._codebook.embed"]
    with pytest.raises(DataError, match=r"4 unknown: vq_acoustic\.layers\.6"):
        fill_released(codec, weights, scalar)


def test_codec_a_tensor_of_another_shape_is_an_error_that_names_it(tiny):
    codec, weights, scalar = tiny
    weights["cond_feature_emb.weight"] = weights["cond_feature_emb.weight"][:3]
    with pytest.raises(DataError, match=r"1 misshapen: cond_feature_emb\.weight\."):
        fill_released(codec, weights, scalar)


def test_codec_training_decoders_may_be_missing_from_a_file(tiny):
    codec, weights, scalar = tiny
    optional = ("pronunciation_decoder.", "structure_semantic_decoder.")
    fill_released(codec, {name: value for name, value in weights.items() if not name.startswith(optional)}, scalar)


def test_codec_sizes_missing_from_a_file_are_a_data_error(tiny):
    _, weights, scalar = tiny
    with pytest.raises(DataError, match="no tensor"):
        released_config(weights, scalar, causal=True)


def test_codec_a_pickle_of_tensors_and_a_safetensors_file_read_alike(tmp_path):
    tensors = {"a.weight": torch.arange(6.0).view(2, 3)}
    torch.save({"model": {f"module.{name}": value for name, value in tensors.items()}}, tmp_path / "codec.pth")
    save_file(tensors, tmp_path / "codec.safetensors")
    for name in ("codec.pth", "codec.safetensors"):
        read = read_released(tmp_path / name)
        assert read.keys() == tensors.keys()
        assert torch.equal(read["a.weight"], tensors["a.weight"])


class _Trap:
    def __reduce__(self):
        return (pytest.fail, ("a stranger's pickle was executed",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_codec_a_pickle_with_code_is_refused_and_not_executed(tmp_path):
    path = tmp_path / "codec.pth"
    path.write_bytes(pickle.dumps({"model": _Trap()}))
    with pytest.raises(DataError, match=r"codec\.pth: not a file of tensors"):
        read_released(path)


def test_codec_a_damaged_file_is_a_data_error_that_names_it(tmp_path):
    (tmp_path / "codec.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(DataError, match=r"codec\.safetensors"):
        read_released(tmp_path / "codec.safetensors")
