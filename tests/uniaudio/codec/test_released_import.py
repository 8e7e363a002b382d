"""`uniaudio codec import` on synthetic files in the full released layout: every key, a sixteenth of every width."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file
from uniaudio_schemas.errors import DataError

from uniaudio.cli import main
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.released.load import read_released
from uniaudio.codec.released.scalar import scalar_config
from uniaudio.testing import a_waveform

pytest.importorskip("transformers")
# Widths that are no multiple of sixteen, or must stay: the flow's latent and what it reads (2 * 8 + 48).
SPECIAL = {136: 8, 1040: 64}
SCALED = (512, 768, 1024, 1536, 2048, 2304, 3072, 4096, 6144, 9216, 8192, 16384)
FEW_ENTRIES = 64
MUSIC = "pretrained_model.model.model."


@pytest.fixture(scope="module", params=[None, 1024], ids=["released", "released_1024"])
def files(request, golden, tmp_path_factory):
    """Folder with the three released files, and the codec's tensors."""
    folder = tmp_path_factory.mktemp("released")
    generator = torch.Generator().manual_seed(0)
    lines = (golden.folder / "state_dict_layout.txt").read_text().splitlines()
    tensors = {}
    for _, name, shape, dtype in (line.split("\t") for line in lines if line.count("\t") == 3):
        sizes = [int(size) for size in shape.strip("()").split(",") if size.strip()]
        tensors[name] = _draw(_shrink(name, sizes, request.param), dtype, generator)
    assert len(tensors) == 1735
    scalar = _scalar(golden)
    torch.save({"model": {f"module.{key}": value for key, value in tensors.items()}}, folder / "codec.checkpoint")
    torch.save({"codec_model": scalar}, folder / "sqcodec.pth")
    music = {f"model.{key.removeprefix(MUSIC)}": value for key, value in tensors.items() if key.startswith(MUSIC)}
    torch.save({"model": music}, folder / "music_ssl.pt")
    return folder, tensors, request.param


def _shrink(name: str, sizes: list[int], entries: int | None) -> list[int]:
    if "pos_conv_embed" in name and name.startswith("wavlm"):  # narrow ones are built with 4 groups of kernel 32
        return {1: [48], 3: [1, 1, 32] if sizes[0] == 1 else [48, 12, 32]}[len(sizes)]
    if "_codebook." in name and len(sizes) > 1:
        return [1, entries or (32 if "reasoning" in name else FEW_ENTRIES), *sizes[2:]]
    if re.search(r"embed_positions\.weight|pos_embed\.pe", name):
        return [*sizes[:-1], sizes[-1] // 16]
    if name.endswith(("q_norm.weight", "q_norm.bias", "k_norm.weight", "k_norm.bias")):
        return [8]
    if "gru_rel_pos_linear.weight" in name:
        return [8, 4]
    if "embed_positions.inv_freq" in name:
        return [8]
    return [SPECIAL.get(size, size // 16 if size in SCALED else size) for size in sizes]


def _draw(sizes: list[int], dtype: str, generator: torch.Generator) -> torch.Tensor:
    if dtype != "float32":
        return torch.ones(sizes, dtype=getattr(torch, dtype))
    return torch.rand(sizes, generator=generator) * 0.1 + 0.01


def _scalar(golden) -> dict[str, torch.Tensor]:
    """The golden scalar autoencoder with eight latent channels, in the spelling of older weight norms."""
    tensors = dict(golden.tensors("tokenizer_decode", "scalar_weights"))
    assert any(key.endswith("weight_g") for key in tensors)
    last = max(int(key.split(".")[1]) for key in tensors if key.startswith("encoder."))
    for key in (f"encoder.{last}.weight_g", f"encoder.{last}.weight_v", f"encoder.{last}.bias"):
        tensors[key] = tensors[key].repeat(8, *[1] * (tensors[key].dim() - 1))[:8].contiguous()
    tensors["decoder.0.weight_v"] = tensors["decoder.0.weight_v"].repeat(1, 8, 1)[:, :8].contiguous()
    return tensors


def run(*arguments) -> int:
    return main(["codec", "import", *map(str, arguments)])


@pytest.mark.slow
def test_codec_import_makes_a_codec_that_loads_and_runs(files, tmp_path, capsys):
    folder, tensors, entries = files
    assert run(folder / "sqcodec.pth", folder / "codec.checkpoint", folder / "music_ssl.pt", "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "codec.checkpoint: codec, 1735 tensors" in printed and "scalar.causal = True" in printed
    report = json.loads((tmp_path / "import.json").read_text())
    assert report["size"] == ("released_1024" if entries else "released")
    assert report["music_tensors_that_differ_from_the_checkpoint"] == 0 and report["initialized_here"] == []
    codec = ReasoningCodec.load(tmp_path)
    assert codec.config.reconstruction_codebook_size == (entries or FEW_ENTRIES)
    assert torch.equal(codec.reconstruction.condition_out.weight, tensors["cond_feature_emb.weight"])
    assert codec.config.flow.num_layers == 32 and codec.config.whisper.num_layers == 24
    assert codec.config.pad_whisper and codec.encoders.whisper.padded, "as these weights were trained"
    codes = codec.encode([a_waveform(0.3)])
    (waveform,) = codec.decode(codes, steps=1, guidance=1.0)
    assert len(waveform) == codes[0].num_samples


@pytest.mark.slow
def test_codec_import_fills_in_the_music_encoder_and_the_training_decoder(files, tmp_path):
    folder, tensors, entries = files
    if entries:
        pytest.skip("once is enough")
    optional = (MUSIC, "pronunciation_decoder.", "structure_semantic_decoder.")
    stripped = {key: value for key, value in tensors.items() if not key.startswith(optional)}
    save_file(stripped, tmp_path / "stripped.safetensors")
    files = (tmp_path / "stripped.safetensors", folder / "sqcodec.pth", folder / "music_ssl.pt")
    assert run(*files, "--out", tmp_path / "out", "--scalar", "noncausal", "--whisper", "real") == 0
    report = json.loads((tmp_path / "out" / "import.json").read_text())
    assert all(key.startswith("reconstruction.phone_decoder.") for key in report["initialized_here"])
    assert report["initialized_here"] and report["assumed"]["scalar.causal"] is False
    assert report["assumed"]["pad_whisper"] is False
    assert torch.equal(
        ReasoningCodec.load(tmp_path / "out").encoders.music.model.project.bias, tensors[f"{MUSIC}conv.linear.bias"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("reason_adaptor.bias"), "1 missing: reason_adaptor.bias."),
        (
            lambda tensors: tensors.update({"reason_adapter.bias": torch.zeros(3)}),
            "1 unknown tensors: reason_adapter.bias",
        ),
        (
            lambda tensors: tensors.update({"cond_feature_emb.bias": torch.zeros(3)}),
            "1 misshapen: cond_feature_emb.bias.",
        ),
    ],
)
def test_codec_import_names_a_key_that_is_wrong_and_writes_nothing(files, tmp_path, capsys, change, message):
    folder, tensors, entries = files
    if entries:
        pytest.skip("once is enough")
    changed = dict(tensors)
    change(changed)
    save_file(changed, tmp_path / "codec.safetensors")
    assert run(tmp_path / "codec.safetensors", folder / "sqcodec.pth", "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


WHISPER_CONV, CLS = "whisper_encoder.conv1.weight", "audio_thinking.cls_token"
EMBED = "vq_acoustic.layers.0._codebook.embed"
FREQUENCIES = f"{MUSIC}conformer.embed_positions.inv_freq"
BIAS, GAIN = "reason_adaptor.bias", "audio_thinking.encoder_transformers.0.self_attn.to_qkv"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: {"zero_cond_embedding1": torch.zeros(())}, "`zero_cond_embedding1` must have 1 dimensions"),
        (lambda one: {EMBED: torch.zeros(64, 32)}, f"`{EMBED}` must have 3 dimensions"),
        (lambda one: {EMBED: torch.zeros(2, 64, 32)}, f"misshapen: {EMBED}"),
        (
            lambda one: {EMBED.replace(".0.", ".3."): torch.zeros(())},
            f"misshapen: {EMBED.replace('.0.', '.3.')}",
        ),
        (
            lambda one: {EMBED.replace("embed", "initted"): torch.ones(3, dtype=torch.bool)},
            f"1 misshapen: {EMBED.replace('embed', 'initted')}.",
        ),
        (lambda one: {WHISPER_CONV: torch.zeros(3)}, f"`{WHISPER_CONV}` must have 3 dimensions"),
        (lambda one: {WHISPER_CONV: torch.zeros(3, 80, 3)}, "`num_heads` must be a whole number from 1"),
        (lambda one: {FREQUENCIES: torch.zeros(0)}, f"`{FREQUENCIES}` must have 1 dimensions, none 0"),
        (lambda one: {CLS: one[CLS].T}, f"1 misshapen: {CLS}."),
        (lambda one: {BIAS: one[BIAS] * float("nan")}, f"1 not finite: {BIAS}."),
        (lambda one: {BIAS: one[BIAS].double() * 1e300}, f"1 not finite: {BIAS}."),
        (lambda one: {BIAS: one[BIAS].int()}, f"1 not floating point: {BIAS}."),
        (
            lambda one: {BIAS: one[BIAS].to(torch.complex64)},
            f"1 not floating point: {BIAS}.",
        ),
        (lambda one: {f"module.{BIAS}": one[BIAS] * 9}, f"`module.{BIAS}` and `{BIAS}` are one weight"),
        (
            lambda one: {f"{GAIN}.weight_g": one[f"{GAIN}.parametrizations.weight.original0"] * 7},
            f"`{GAIN}.parametrizations.weight.original0` and `{GAIN}.weight_g` are one weight",
        ),
    ],
)
def test_codec_import_of_a_codec_with_a_wrong_tensor_is_one_line_that_names_it(
    files, tmp_path, capsys, change, message
):
    folder, tensors, entries = files
    if entries:
        pytest.skip("once is enough")
    changed = {key: value.contiguous() for key, value in {**tensors, **change(tensors)}.items()}
    save_file(changed, tmp_path / "codec.safetensors")
    assert run(tmp_path / "codec.safetensors", folder / "sqcodec.pth", "--out", tmp_path / "out") == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_codec_import_takes_a_weight_that_is_there_in_both_spellings_if_they_agree(tmp_path):
    gain, vector = torch.ones(2, 1, 1), torch.ones(2, 3, 4)
    once = {"a.weight_g": gain, "a.weight_v": vector}
    twice = {f"module.{key}": value.clone() for key, value in once.items()} | once
    save_file(once, tmp_path / "once.safetensors")
    save_file(twice, tmp_path / "twice.safetensors")
    names = {"a.parametrizations.weight.original0", "a.parametrizations.weight.original1"}
    assert read_released(tmp_path / "once.safetensors").keys() == names
    assert read_released(tmp_path / "twice.safetensors").keys() == names


def test_codec_import_refuses_a_tensor_that_is_not_plain(tmp_path):
    torch.save({"model": {"a.bias": torch.ones(3).to_sparse()}}, tmp_path / "codec.pth")
    with pytest.raises(DataError, match=r"codec\.pth: `a\.bias` must be a plain tensor, but is torch\.sparse"):
        read_released(tmp_path / "codec.pth")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("decoder.0.weight_v", torch.zeros(3), r"`decoder\.0\..*original1` must have 3 dimensions"),
        ("decoder.0.weight_v", None, r"no tensor `decoder\.0\."),
        ("decoder.1.up_conv.layer.weight_v", None, r"no tensor `decoder\.1\.up_conv\.layer"),
        ("encoder.2.down_conv.layer.weight_v", None, r"no tensor `encoder\.2\.down_conv\.layer"),
        ("decoder.1.convs.0.conv1.weight_v", torch.zeros(2, 2), r"`decoder\.1\.convs\.0\.conv1"),
    ],
)
def test_codec_sizes_of_an_autoencoder_with_a_wrong_tensor_are_an_error_that_names_it(golden, key, value, message):
    tensors = {**_scalar(golden), key: value}
    if value is None:
        del tensors[key]
    with pytest.raises(DataError, match=message):
        scalar_config(tensors, causal=True)


def test_codec_import_says_which_file_is_missing_or_foreign(tmp_path, capsys):
    save_file({"decoder.0.bias": torch.zeros(2)}, tmp_path / "scalar.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    assert run(tmp_path / "scalar.safetensors", "--out", tmp_path / "out") == 2
    assert "must hold a codec checkpoint, but only scalar is there" in capsys.readouterr().err
    assert run(tmp_path / "foreign.safetensors", "--out", tmp_path / "out") == 2
    assert "foreign.safetensors: holds none of" in capsys.readouterr().err
    assert run(tmp_path / "scalar.safetensors", tmp_path / "scalar.safetensors", "--out", tmp_path / "out") == 2
    assert "scalar.safetensors is a second scalar file" in capsys.readouterr().err
    assert run(tmp_path / "none.pth", "--out", tmp_path / "out") == 2
    assert "none.pth is none" in capsys.readouterr().err
