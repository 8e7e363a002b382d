"""A pretrained text model as the backbone: reads a LLaMA folder of the transformers layout without transformers.

Reads    config.json  *.safetensors   (LlamaForCausalLM: LLaMA-3.2, SmolLM2, ...)
Writes   nothing; `llama_config` takes over the sizes, `load_llama` the weights
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.lm import weights
from uniaudio.lm.config import LMConfig, RopeConfig, StackConfig
from uniaudio.lm.initialize import match_audio_loudness_to_text
from uniaudio.lm.model import UniAudioLM

_IN_BLOCK = {
    "input_layernorm.weight": "attention_norm.weight",
    "self_attn.o_proj.weight": "attention.out.weight",
    "post_attention_layernorm.weight": "mlp_norm.weight",
    "mlp.gate_proj.weight": "mlp.gate.weight",
    "mlp.up_proj.weight": "mlp.up.weight",
    "mlp.down_proj.weight": "mlp.down.weight",
}


def llama_config(folder: str | Path, config: LMConfig) -> LMConfig:
    """`config` with the backbone (and so the experts), rotary embedding and norm of the LLaMA model in `folder`."""
    path = Path(folder) / weights.CONFIG_FILE
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    if (
        "LlamaForCausalLM" not in fields.get("architectures", [])
        or fields.get("attention_bias")
        or fields.get("mlp_bias")
    ):
        raise DataError(
            f"{path}: must describe a LlamaForCausalLM without biases, but is {fields.get('architectures')}."
        )
    try:
        backbone = StackConfig(
            num_layers=fields["num_hidden_layers"],
            width=fields["hidden_size"],
            num_heads=fields["num_attention_heads"],
            num_kv_heads=fields.get("num_key_value_heads") or fields["num_attention_heads"],
            head_size=fields.get("head_dim") or fields["hidden_size"] // fields["num_attention_heads"],
            mlp_width=fields["intermediate_size"],
        )
    except KeyError as error:
        raise DataError(f"{path}: `{error.args[0]}` is missing.") from error
    return replace(config, backbone=backbone, rope=_rope_of(fields, path), norm_eps=fields.get("rms_norm_eps", 1e-6))


def from_llama(folder: str | Path, config: LMConfig, *, seed: int = 0) -> UniAudioLM:
    """A model whose text parts are the LLaMA model in `folder`; `config` says the sizes of all others, `seed` draws them.

    Embedding tables are often padded: ids that the tokenizer never gives are rows of the model all the same.
    """
    config = replace(config, text_size=max(config.text_size, num_text_rows(folder)))
    model = UniAudioLM(llama_config(folder, config), seed=seed)
    load_llama(model, folder)
    return model


@torch.no_grad()
def load_llama(model: UniAudioLM, folder: str | Path) -> None:
    """Copies the LLaMA model in `folder` into backbone, text embedding and text head of `model`.

    Text ids that the file does not know (specials added by name) start as the average known one.
    """
    state, source = _read_llama(Path(folder), model.config), Path(folder)
    embedding = state.pop("text_embedding.weight")
    head = state.pop("text_head.weight", embedding)
    parts = {name: p for name, p in model.state_dict().items() if name.startswith("backbone.")}
    weights.check_state(state, {name: tuple(p.shape) for name, p in parts.items()}, source)
    for name, tensor in state.items():
        parts[name].copy_(tensor)
    for target, rows in ((model.text_embedding.weight, embedding), (model.text_head.weight, head)):
        if rows.shape[1] != target.shape[1] or len(rows) > len(target):
            raise UsageError(
                f"The text vocabulary must hold the {len(rows)} ids of {source} or more, "
                f"width {rows.shape[1]}, but is {list(target.shape)}."
            )
        # A new special starts as the average known one: a vector of an untrained length would drown its neighbours.
        target.copy_(rows.float().mean(dim=0).to(target).expand_as(target))
        target[: len(rows)].copy_(rows)
    match_audio_loudness_to_text(model)


def num_text_rows(folder: str | Path) -> int:
    """Rows of the text embedding of the LLaMA model in `folder`."""
    path = Path(folder) / weights.CONFIG_FILE
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["vocab_size"])
    except (OSError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: must hold `vocab_size`, but cannot be read as such ({error}).") from error


def _read_llama(folder: Path, config: LMConfig) -> dict[str, Tensor]:
    theirs = dict(weights.read_tensors(folder))
    ours: dict[str, Tensor] = {}
    names = {
        "model.embed_tokens.weight": "text_embedding.weight",
        "lm_head.weight": "text_head.weight",
        "model.norm.weight": "backbone.norm.weight",
    }
    for layer in range(config.backbone.num_layers):
        block, our_block = f"model.layers.{layer}", f"backbone.layers.{layer}"
        names |= {f"{block}.{name}": f"{our_block}.{our_name}" for name, our_name in _IN_BLOCK.items()}
        fused = [f"{block}.self_attn.{part}_proj.weight" for part in "qkv"]
        if missing := [name for name in fused if name not in theirs]:
            raise DataError(f"{folder}: {missing[0]} is missing.")
        ours[f"{our_block}.attention.qkv.weight"] = torch.cat([theirs.pop(name) for name in fused])
    for name, tensor in theirs.items():
        if name not in names:
            raise DataError(f"{folder}: {name} is left over: the backbone has no such tensor.")
        ours[names[name]] = tensor
    if "text_embedding.weight" not in ours:
        raise DataError(f"{folder}: model.embed_tokens.weight is missing.")
    return ours


def _rope_of(fields: dict[str, Any], path: Path) -> RopeConfig:
    # transformers 5 writes `rope_parameters`, older ones `rope_theta` and `rope_scaling`.
    scaling = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    base = float(scaling.get("rope_theta") or fields.get("rope_theta") or 10_000.0)
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return RopeConfig(base=base)
    if kind != "llama3":
        raise DataError(f"{path}: the rotary embedding must be default or llama3, but is {kind}.")
    return RopeConfig(
        base=base,
        factor=float(scaling["factor"]),
        low_frequency_factor=float(scaling["low_freq_factor"]),
        high_frequency_factor=float(scaling["high_freq_factor"]),
        original_context=int(scaling["original_max_position_embeddings"]),
    )
