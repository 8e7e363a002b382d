"""A LLaMA folder as the backbone: logits equal to the library that wrote it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.torchaudio_cpu import import_torchaudio
from uniaudio.lm.config import LMConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.pretrained import llama_config, load_llama

LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
DEFAULT = {"rope_type": "default", "rope_theta": 100_000.0}


def write_llama(folder: Path, rope: dict[str, Any], tied: bool) -> Any:
    pytest.importorskip("transformers")
    # Some builds of transformers import torchaudio, whose extension does not load everywhere.
    import_torchaudio()
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, rope_parameters=rope, tie_word_embeddings=tied, rms_norm_eps=1e-5, initializer_range=0.3,
        max_position_embeddings=512,
    )  # fmt: skip
    llama = transformers.LlamaForCausalLM(config).eval()
    llama.save_pretrained(folder)
    return llama


def built(folder: Path, config: LMConfig) -> UniAudioLM:
    model = UniAudioLM(llama_config(folder, config))
    load_llama(model, folder)
    return model


@pytest.mark.parametrize(("rope", "tied"), [(LLAMA3, True), (DEFAULT, False)], ids=["llama3-tied", "default-untied"])
def test_the_backbone_gives_the_logits_of_transformers(
    tmp_path: Path, tiny_config: LMConfig, rope: dict[str, Any], tied: bool
) -> None:
    llama = write_llama(tmp_path, rope, tied)
    model = built(tmp_path, tiny_config)
    ids = torch.randint(0, 99, (2, 150), generator=torch.Generator().manual_seed(1))
    grid = torch.zeros(2, 150, 9, dtype=torch.int64)
    grid[..., 8] = ids
    is_text = torch.ones(2, 150, dtype=torch.bool)
    with torch.no_grad():
        ours = model.text_logits(model(grid, ~is_text, is_text))[..., :99]
        theirs = llama(ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_new_text_ids_start_as_the_average_known_one(tmp_path: Path, tiny_config: LMConfig) -> None:
    write_llama(tmp_path, DEFAULT, tied=True)
    embedding = built(tmp_path, tiny_config).text_embedding.weight
    torch.testing.assert_close(embedding[99:], embedding[:99].mean(0).expand(201, -1))


def test_audio_enters_the_backbone_as_loud_as_text(tmp_path: Path, tiny_config: LMConfig) -> None:
    write_llama(tmp_path, DEFAULT, tied=True)
    model = built(tmp_path, tiny_config)
    frames = torch.zeros(1, 5, 9, dtype=torch.int64)
    is_audio = torch.ones(1, 5, dtype=torch.bool)
    seen: list[torch.Tensor] = []
    hook = model.backbone.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(frames, is_audio, ~is_audio)
    hook.remove()
    assert float(seen[0].std()) == pytest.approx(float(model.text_embedding.weight.detach().std()), rel=0.2)


def test_a_smaller_text_vocabulary_is_refused(tmp_path: Path, tiny_config: LMConfig) -> None:
    write_llama(tmp_path, DEFAULT, tied=True)
    with pytest.raises(UsageError, match="must hold the 99 ids"):
        built(tmp_path, replace(tiny_config, text_size=98))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": None}, "must describe a LlamaForCausalLM"),
        ({"hidden_act": "gelu"}, "`hidden_act` must be silu, but is gelu"),
        ({"partial_rotary_factor": 0.5}, "`partial_rotary_factor` must be 1, but is 0.5"),
        ({"num_hidden_layers": "3"}, "`num_layers` must be a whole number"),
        ({"num_attention_heads": 0}, "must be a whole number of 1 or more|division"),
        ({"num_key_value_heads": 3}, "config.json: `num_heads` must be a multiple"),
        ({"rms_norm_eps": None}, "`norm_eps` must be a number above 0, but is None"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "config.json: `factor` is missing"),
        ({"rope_parameters": "default"}, "config.json: "),
        ({"vocab_size": 98}, r"embed_tokens.weight must be \[98, 32\], but is \[99, 32\]"),
        ({"tie_word_embeddings": True}, "lm_head.weight must be model.embed_tokens.weight"),
        ({"num_hidden_layers": 4}, "model.layers.3.input_layernorm.weight is missing"),
        ({"num_key_value_heads": 4}, r"self_attn.k_proj.weight must be \[32, 32\], but is \[16, 32\]"),
    ],
)
def test_a_config_that_is_not_of_the_weights_is_named(
    tmp_path: Path, tiny_config: LMConfig, change: dict[str, Any], message: str
) -> None:
    write_llama(tmp_path, DEFAULT, tied=False)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        built(tmp_path, tiny_config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("lm_head.weight"), "lm_head.weight is missing"),
        (lambda s: s["model.norm.weight"].fill_(torch.nan), "model.norm.weight must hold numbers, but holds NaN"),
        (lambda s: s["lm_head.weight"][0].fill_(torch.inf), "lm_head.weight must hold numbers, but holds NaN or inf"),
        (lambda s: s.update({"model.layers.0.self_attn.q_proj.weight": torch.ones(4)}), r"\[32, 32\], but is \[4\]"),
        (lambda s: s.update({"model.extra": torch.ones(1)}), "model.extra is left over"),
    ],
)
def test_weights_that_do_not_fit_are_named_as_in_their_file(
    tmp_path: Path, tiny_config: LMConfig, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    write_llama(tmp_path, DEFAULT, tied=False)
    state = load_file(tmp_path / "model.safetensors")
    change(state)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=message):
        built(tmp_path, tiny_config)


def test_another_architecture_is_refused(tmp_path: Path, tiny_config: LMConfig) -> None:
    write_llama(tmp_path, DEFAULT, tied=True)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": ["MistralForCausalLM"]}))
    with pytest.raises(DataError, match="must describe a LlamaForCausalLM without biases"):
        llama_config(tmp_path, tiny_config)
