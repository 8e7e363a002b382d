"""Folders of text models as other programs save them: read with the logits of `transformers`, or refused in one line that says why."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from uniaudio_schemas.errors import DataError, UsageError

from tests.uniaudio.lm.conftest import tiny_config as tiny_config
from tests.uniaudio.lm.test_pretrained import DEFAULT, LLAMA3, built, write_llama
from uniaudio.lm.config import LMConfig


def in_shards_of_half_precision(folder: Path) -> None:
    llama = write_llama(folder, LLAMA3, tied=True)
    (folder / "model.safetensors").unlink()
    llama.to(torch.bfloat16).save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2


def as_older_versions_saved_it(folder: Path) -> None:
    """`rope_scaling` and `rope_theta` at the top, `torch_dtype`, frequencies beside the weights."""
    write_llama(folder, LLAMA3, tied=False)
    state = {name: weight.half() for name, weight in load_file(folder / "model.safetensors").items()}
    state |= {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(4) for layer in range(3)}
    save_file(state, folder / "model.safetensors")
    change_config(
        folder,
        {"rope_parameters": None, "head_dim": None, "torch_dtype": "float16", "rope_theta": LLAMA3["rope_theta"]},
    )
    change_config(folder, {"rope_scaling": {name: value for name, value in LLAMA3.items() if name != "rope_theta"}})


def change_config(folder: Path, change: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(
        json.dumps({name: value for name, value in config.items() if value is not None})
    )


@pytest.mark.parametrize("write", [in_shards_of_half_precision, as_older_versions_saved_it])
def test_odd_folders_give_the_logits_of_transformers(
    write: Callable[[Path], None], tmp_path: Path, tiny_config: LMConfig
) -> None:
    write(tmp_path)
    import transformers

    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    model = built(tmp_path, tiny_config).float()
    ids = torch.randint(0, 99, (2, 150), generator=torch.Generator().manual_seed(1))
    grid = torch.zeros(2, 150, 9, dtype=torch.int64)
    grid[..., 8] = ids
    is_text = torch.ones(2, 150, dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(
            model.text_logits(model(grid, ~is_text, is_text))[..., :99], theirs(ids).logits, atol=1e-4, rtol=0
        )


def without_a_shard(folder: Path) -> None:
    in_shards_of_half_precision(folder)
    next(folder.glob("model-00002*")).unlink()


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def without_its_head(folder: Path) -> None:
    state = {name.removeprefix("model."): weight for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(state, folder / "model.safetensors")
    change_config(folder, {"architectures": ["LlamaModel"]})


def of_eight_bits(folder: Path) -> None:
    change_config(folder, {"quantization_config": {"quant_method": "fp8"}})
    state = load_file(folder / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    save_file(
        state | {f"{name}_scale_inv": torch.ones(1, 1), name: state[name].to(torch.float8_e4m3fn)},
        folder / "model.safetensors",
    )


def of_another_rope(folder: Path) -> None:
    change_config(folder, {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}})


def of_another_family(folder: Path) -> None:
    change_config(folder, {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"})


def with_another_head_than_it_says(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    save_file(state | {"lm_head.weight": state["model.embed_tokens.weight"] + 0.01}, folder / "model.safetensors")
    change_config(folder, {"tie_word_embeddings": True})


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    write_llama(folder, DEFAULT, tied=False)
    return folder


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (pickled, "safetensors"),
        (without_its_head, "must describe a LlamaForCausalLM"),
        (of_eight_bits, "weight_scale_inv is left over"),
        (of_another_rope, "yarn"),
        (of_another_family, "must describe a LlamaForCausalLM"),
        (with_another_head_than_it_says, "lm_head.weight must be model.embed_tokens.weight"),
        (lambda folder: shutil.rmtree(folder), "config.json"),
    ],
)
def test_a_folder_that_cannot_be_read_says_why_in_one_line(
    llama: Path, spoil: Callable[[Path], None], message: str, tmp_path: Path, tiny_config: LMConfig
) -> None:
    folder = Path(shutil.copytree(llama, tmp_path / "model"))
    spoil(folder)
    with pytest.raises((DataError, UsageError), match=message) as raised:
        built(folder, tiny_config)
    assert "\n" not in str(raised.value)


def test_a_missing_shard_is_named(tmp_path: Path, tiny_config: LMConfig) -> None:
    without_a_shard(tmp_path)
    with pytest.raises((DataError, UsageError), match="model-00002-of-"):
        built(tmp_path, tiny_config)
