"""A pretrained text model as the backbone: reads a LLaMA folder of the transformers layout without transformers.

Reads    config.json  *.safetensors   (LlamaForCausalLM: LLaMA-3.2, SmolLM2, ...)
Writes   nothing; `llama_config` takes over the sizes, `load_llama` the weights
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.plain import json_object

from uniaudio.lm import weights
from uniaudio.lm.config import LMConfig, RopeConfig, StackConfig
from uniaudio.lm.initialize import match_audio_loudness_to_text
from uniaudio.lm.model import UniAudioLM

_SINGLES = {
    "model.embed_tokens.weight": "text_embedding.weight",
    "lm_head.weight": "text_head.weight",
    "model.norm.weight": "backbone.norm.weight",
}
_BLOCK_KEY = re.compile(r"model\.layers\.(\d+)\.(.+)")
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
    path, fields = Path(folder) / weights.CONFIG_FILE, _fields_of(folder)
    try:
        _check_llama(fields)
        backbone = StackConfig(
            num_layers=fields["num_hidden_layers"],
            width=fields["hidden_size"],
            num_heads=fields["num_attention_heads"],
            num_kv_heads=fields.get("num_key_value_heads") or fields["num_attention_heads"],
            head_size=fields.get("head_dim") or fields["hidden_size"] // fields["num_attention_heads"],
            mlp_width=fields["intermediate_size"],
        )
        return replace(config, backbone=backbone, rope=_rope_of(fields), norm_eps=fields.get("rms_norm_eps", 1e-6))
    except KeyError as error:
        raise DataError(f"{path}: `{error.args[0]}` is missing.") from error
    except (UsageError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise DataError(f"{path}: {error}") from error


def _fields_of(folder: str | Path) -> dict[str, Any]:
    path = Path(folder) / weights.CONFIG_FILE
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    return json_object(text, str(path))


def _check_llama(fields: dict[str, Any]) -> None:
    """UsageError where the model is another than ours, whose weights may fit all the same."""
    architectures = fields.get("architectures") or []
    if "LlamaForCausalLM" not in architectures or fields.get("attention_bias") or fields.get("mlp_bias"):
        raise UsageError(f"must describe a LlamaForCausalLM without biases, but is {architectures}.")
    if fields.get("hidden_act", "silu") not in ("silu", "swish"):
        raise UsageError(f"`hidden_act` must be silu, but is {fields['hidden_act']}.")
    rope = fields.get("rope_parameters") or {}
    if (part := fields.get("partial_rotary_factor", rope.get("partial_rotary_factor", 1))) != 1:
        raise UsageError(f"`partial_rotary_factor` must be 1, but is {part}.")


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
    state, source, num_layers = _read_llama(Path(folder)), Path(folder), model.config.backbone.num_layers
    parts = {name: p for name, p in model.state_dict().items() if name.startswith("backbone.")}
    shapes = {name: tuple(p.shape) for name, p in parts.items() if ".attention.qkv." not in name}
    stack, width = model.config.backbone, model.config.width
    num_rows = {"q": stack.num_heads, "k": stack.num_kv_heads, "v": stack.num_kv_heads}
    for layer in range(num_layers):
        for part, num_heads in num_rows.items():
            shapes[_fused(layer, part)] = (num_heads * stack.head_size, width)
    rows = (num_text_rows(folder), width)
    shapes |= {"text_embedding.weight": rows, "text_head.weight": rows}
    weights.check_state(state, shapes, source, _their_name)
    if rows[0] > len(model.text_embedding.weight):
        raise UsageError(
            f"The text vocabulary must hold the {rows[0]} ids of {source} or more, "
            f"but holds {len(model.text_embedding.weight)}."
        )
    for layer in range(num_layers):
        fused = torch.cat([state.pop(_fused(layer, part)) for part in num_rows])
        state[f"backbone.layers.{layer}.attention.qkv.weight"] = fused
    for name, tensor in parts.items():
        tensor.copy_(state[name])
    for target, name in ((model.text_embedding.weight, "text_embedding"), (model.text_head.weight, "text_head")):
        vectors = state[f"{name}.weight"]
        # A new special starts as the average known one: a vector of an untrained length would drown its neighbours.
        target.copy_(vectors.float().mean(dim=0).to(target).expand_as(target))
        target[: len(vectors)].copy_(vectors)
    match_audio_loudness_to_text(model)


def num_text_rows(folder: str | Path) -> int:
    """Rows of the text embedding of the LLaMA model in `folder`."""
    fields = _fields_of(folder)
    if not isinstance(fields.get("vocab_size"), int) or fields["vocab_size"] < 1:
        path = Path(folder) / weights.CONFIG_FILE
        raise DataError(f"{path}: must hold `vocab_size`, a whole number, but holds {fields.get('vocab_size')!r}.")
    return int(fields["vocab_size"])


def _read_llama(folder: Path) -> dict[str, Tensor]:
    """The folder's tensors by our names, with query, key and value still apart. The head is the embedding where the two are tied."""
    # Old files also hold the frequencies of the rotary embedding, which follow from the config.
    tensors = (
        (name, tensor) for name, tensor in weights.read_tensors(folder) if not name.endswith("rotary_emb.inv_freq")
    )
    ours = {_our_name(name): tensor for name, tensor in tensors}
    if _fields_of(folder).get("tie_word_embeddings") and "text_embedding.weight" in ours:
        embedding = ours["text_embedding.weight"]
        if not torch.equal(ours.setdefault("text_head.weight", embedding), embedding):
            raise DataError(f"{folder}: lm_head.weight must be model.embed_tokens.weight (`tie_word_embeddings`).")
    return ours


def _fused(layer: int, part: str) -> str:
    """One of the three that become one."""
    return f"backbone.layers.{layer}.self_attn.{part}_proj.weight"


def _our_name(theirs: str) -> str:
    if theirs in _SINGLES:
        return _SINGLES[theirs]
    match = _BLOCK_KEY.fullmatch(theirs)
    return f"backbone.layers.{match[1]}.{_IN_BLOCK.get(match[2], match[2])}" if match else theirs


def _their_name(ours: str) -> str:
    singles = {name: theirs for theirs, name in _SINGLES.items()}
    if ours in singles:
        return singles[ours]
    in_block = {name: theirs for theirs, name in _IN_BLOCK.items()}
    prefix, _, rest = ours.removeprefix("backbone.layers.").partition(".")
    return f"model.layers.{prefix}.{in_block.get(rest, rest)}" if ours.startswith("backbone.layers.") else ours


def _rope_of(fields: dict[str, Any]) -> RopeConfig:
    # transformers 5 writes `rope_parameters`, older ones `rope_theta` and `rope_scaling`.
    scaling = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    base = float(scaling.get("rope_theta") or fields.get("rope_theta") or 10_000.0)
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return RopeConfig(base=base)
    if kind != "llama3":
        raise UsageError(f"the rotary embedding must be default or llama3, but is {kind}.")
    return RopeConfig(
        base=base,
        factor=float(scaling["factor"]),
        low_frequency_factor=float(scaling["low_freq_factor"]),
        high_frequency_factor=float(scaling["high_freq_factor"]),
        original_context=int(scaling["original_max_position_embeddings"]),
    )
