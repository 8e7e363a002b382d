"""Reads a released checkpoint of the authors and writes it in this project's layout.

Reads    llm_ep3.checkpoint (a torch file: {"model": state_dict, ...})  llm_config.yaml (special ids and sizes)
Writes   config.json  model*.safetensors  vocabulary.json

Layer counts, widths and vocabulary sizes come from the tensors, never from a name; what is missing, left over or
misshapen is named.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError

from uniaudio.lm import weights
from uniaudio.lm.config import LMConfig, RopeConfig, StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.released.file import load_safely
from uniaudio.lm.released.vocabulary import read_llm_config, released_vocabulary
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import TextTokenizer

log = logging.getLogger(__name__)

NUM_CODEBOOKS = 8
_RELEASED_ROPE = RopeConfig(factor=32.0)
# Head sizes cannot be read off fused shapes; these are the ones of the model names that `llm_config.yaml` may hold.
_HEAD_SIZES = {"Llama-3.2-3B": 128, "Llama-3.2-1B": 64, "Llama-3.2-300M": 64, "Llama-3.2-4Layer": 64}
# By stack and width: a name in the config that says otherwise is of another model.
_RELEASED_HEAD_SIZES = {("backbone", 3072): 128, ("backbone", 2048): 64, ("decoder", 2048): 64}

_STACKS = {
    "backbone": "backbone",
    "audio_understanding_expert": "understanding_expert.stack",
    "audio_generation_expert": "generation_expert.stack",
    "decoder": "local_decoder.stack",
}
_SINGLES = {
    "audio_head": "audio_head.weight",
    "audio_embeddings.weight": "audio_embedding.weight",
    "projection.weight": "projection.weight",
    "backbone.lm_head.weight": "text_head.weight",
    "backbone.transformer.wte.weight": "text_embedding.weight",
}
_IN_BLOCK = {
    "norm_1.weight": "attention_norm.weight",
    "attn.qkv.weight": "attention.qkv.weight",
    "attn.attn.weight": "attention.qkv.weight",
    "attn.proj.weight": "attention.out.weight",
    "norm_2.weight": "mlp_norm.weight",
    "mlp.fc_1.weight": "mlp.gate.weight",
    "mlp.fc_2.weight": "mlp.up.weight",
    "mlp.proj.weight": "mlp.down.weight",
}
_BLOCK_KEY = re.compile(r"(\w+)\.transformer\.h\.(\d+)\.(.+)")
_NORM_KEY = re.compile(r"(\w+)\.transformer\.ln_f\.weight")


def import_released(
    checkpoint: str | Path,
    llm_config: str | Path,
    out_dir: str | Path,
    *,
    dtype: torch.dtype | None = None,
    head_sizes: tuple[int, int] | None = None,
    tokenizer: TextTokenizer | None = None,
    skip_objects: bool = False,
    check: Callable[[Vocabulary], None] | None = None,
) -> LMConfig:
    """Converts `checkpoint` into a folder that `UniAudioLM.load` reads.

    `dtype` None keeps the stored one. `head_sizes` (backbone, depth decoder) go by the model names in `llm_config`.
    `skip_objects` reads a checkpoint that also holds objects of foreign classes, and leaves these out unread.
    With `tokenizer`, the vocabulary carries its fingerprint, and its special ids must be the released ones.
    `check` may refuse the vocabulary before anything is written.
    """
    path, fields = Path(checkpoint), read_llm_config(Path(llm_config))
    state = read_checkpoint(path, skip_objects=skip_objects)
    if head_sizes is None:
        head_size_fields = (_named_head_size(fields, name, Path(llm_config)) for name in ("llm_name", "local_model"))
        head_sizes = next(head_size_fields), next(head_size_fields)
    config = config_of({name: tuple(t.shape) for name, t in state.items()}, path, *head_sizes)
    vocabulary = released_vocabulary(fields, config, Path(llm_config), tokenizer)
    if check is not None:
        check(vocabulary)
    config = replace(config, vocabulary_fingerprint=vocabulary.fingerprint)
    ours = to_our_names(state, config, path)
    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in UniAudioLM(config).state_dict().items()}
    weights.check_state(ours, shapes, path, released_name)
    weights.save(ours, config, Path(out_dir), dtype=dtype)
    (Path(out_dir) / weights.VOCABULARY_FILE).write_text(vocabulary.to_json(), encoding="utf-8")
    log.info("read %s: %d tensors, %d parameters", path, len(ours), sum(t.numel() for t in ours.values()))
    return config


def read_checkpoint(path: Path, *, skip_objects: bool = False) -> dict[str, Tensor]:
    """The state dict of a torch file, memory-mapped, `module.` prefixes cut; never runs pickled code."""
    content = load_safely(path, skip_objects=skip_objects)
    state = content.get("model", content.get("state_dict", content)) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(n, str) and isinstance(t, Tensor) for n, t in state.items()):
        raise DataError(f"{path}: must be a state dict or hold one under 'model', but does not.")
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if (plain := _without_prefix(name)) in tensors:
            raise DataError(f"{path}: {plain} is there twice, with and without `module.`.")
        tensors[plain] = tensor
    return tensors


def config_of(shapes: Mapping[str, tuple[int, ...]], source: Path, head_size: int, local_head_size: int) -> LMConfig:
    """The sizes of a released state dict."""
    num_codebooks, _, audio_size = _shape(shapes, "audio_head", 3, source)
    rows, _ = _shape(shapes, "audio_embeddings.weight", 2, source)
    text_size, _ = _shape(shapes, "backbone.transformer.wte.weight", 2, source)
    backbone = _stack_of(shapes, "backbone", head_size, source)
    if num_codebooks != NUM_CODEBOOKS or rows != num_codebooks * audio_size:
        raise DataError(
            f"{source}: audio_embeddings.weight must have 8 x {audio_size} rows, the ids of audio_head, but has {rows}."
        )
    return LMConfig(
        text_size=text_size,
        audio_size=audio_size,
        backbone=backbone,
        local_decoder=_stack_of(shapes, "decoder", local_head_size, source),
        num_understanding_layers=_num_layers(shapes, "audio_understanding_expert"),
        num_generation_layers=_num_layers(shapes, "audio_generation_expert"),
        rope=_RELEASED_ROPE,
    )


def to_our_names(state: Mapping[str, Tensor], config: LMConfig, source: Path) -> dict[str, Tensor]:
    """Renames every tensor; fused attention weights of the older layout are reordered."""
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        renamed = our_name(name)
        if renamed is None:
            raise DataError(f"{source}: {name} is left over: this model has no such tensor.")
        if name.endswith("attn.attn.weight"):
            stack = config.local_decoder if name.startswith("decoder.") else config.backbone
            fused_rows = (stack.num_heads + 2 * stack.num_kv_heads) * stack.head_size
            if tensor.ndim != 2 or len(tensor) != fused_rows:
                raise DataError(f"{source}: {name} must have {fused_rows} rows, but is {list(tensor.shape)}.")
            tensor = reorder_interleaved_qkv(tensor, stack)
        if renamed in ours:
            raise DataError(f"{source}: {name} is there twice, in the old and the new layout.")
        ours[renamed] = tensor
    return ours


def reorder_interleaved_qkv(weight: Tensor, stack: StackConfig) -> Tensor:
    """Rows `[queries of group 0, key 0, value 0, queries of group 1, ...]` -> `[all queries, all keys, all values]`."""
    queries_per_group = stack.num_heads // stack.num_kv_heads
    grouped = weight.unflatten(0, (stack.num_kv_heads, queries_per_group + 2, stack.head_size))
    parts = grouped.split([queries_per_group, 1, 1], dim=1)
    return torch.cat([part.flatten(0, 2) for part in parts])


def _without_prefix(name: str) -> str:
    return name.rsplit("module.", 1)[1] if name.startswith("module.") else name


def our_name(name: str) -> str | None:
    """The name in this project of a tensor of the authors; None when it has none."""
    if name in _SINGLES:
        return _SINGLES[name]
    if (match := _NORM_KEY.fullmatch(name)) and match[1] in _STACKS:
        return f"{_STACKS[match[1]]}.norm.weight"
    if (match := _BLOCK_KEY.fullmatch(name)) and match[1] in _STACKS and match[3] in _IN_BLOCK:
        return f"{_STACKS[match[1]]}.layers.{match[2]}.{_IN_BLOCK[match[3]]}"
    return None


def released_name(ours: str) -> str:
    """The inverse of `our_name`, in the newer layout; names that the authors do not have are as they are."""
    singles = {name: theirs for theirs, name in _SINGLES.items()}
    if ours in singles:
        return singles[ours]
    in_block = {name: theirs for theirs, name in _IN_BLOCK.items() if theirs != "attn.attn.weight"}
    for theirs, stack in _STACKS.items():
        if ours == f"{stack}.norm.weight":
            return f"{theirs}.transformer.ln_f.weight"
        if ours.startswith(f"{stack}.layers."):
            layer, _, rest = ours.removeprefix(f"{stack}.layers.").partition(".")
            return f"{theirs}.transformer.h.{layer}.{in_block.get(rest, rest)}"
    return ours


def _num_layers(shapes: Mapping[str, tuple[int, ...]], stack: str) -> int:
    matches = (_BLOCK_KEY.fullmatch(name) for name in shapes)
    return 1 + max((int(match[2]) for match in matches if match and match[1] == stack), default=-1)


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, num_axes: int, source: Path) -> tuple[int, ...]:
    if name not in shapes:
        raise DataError(f"{source}: {name} is missing.")
    if len(shapes[name]) != num_axes or 0 in shapes[name]:
        raise DataError(f"{source}: {name} must have {num_axes} axes, none of them empty, but is {list(shapes[name])}.")
    return shapes[name]


def _stack_of(shapes: Mapping[str, tuple[int, ...]], stack: str, head_size: int, source: Path) -> StackConfig:
    block = f"{stack}.transformer.h.0"
    is_legacy = f"{block}.attn.qkv.weight" not in shapes and f"{block}.attn.attn.weight" in shapes
    fused_name = f"{block}.attn.{'attn' if is_legacy else 'qkv'}.weight"
    fused_rows, _ = _shape(shapes, fused_name, 2, source)
    width, query_rows = _shape(shapes, f"{block}.attn.proj.weight", 2, source)
    mlp_width, _ = _shape(shapes, f"{block}.mlp.fc_1.weight", 2, source)
    kv_rows = (fused_rows - query_rows) // 2
    if query_rows % head_size or kv_rows % head_size or kv_rows < head_size or query_rows % kv_rows:
        raise DataError(
            f"{source}: {fused_name} has {query_rows} query and {kv_rows} key rows, "
            f"which are no multiples of the head size {head_size} and of each other."
        )
    if _RELEASED_HEAD_SIZES.get((stack, width), head_size) != head_size:
        raise DataError(
            f"{source}: {stack} is {width} wide and so must have heads of {_RELEASED_HEAD_SIZES[stack, width]}, but "
            f"`llm_name` or `local_model` of the config says {head_size}."
        )
    return StackConfig(
        num_layers=_num_layers(shapes, stack),
        width=width,
        num_heads=query_rows // head_size,
        num_kv_heads=kv_rows // head_size,
        head_size=head_size,
        mlp_width=mlp_width,
    )


def _named_head_size(fields: Mapping[str, Any], key: str, source: Path) -> int:
    name = str(fields.get(key, "")).rsplit("/", 1)[-1]
    if name not in _HEAD_SIZES:
        raise DataError(f"{source}: `{key}` must be one of {', '.join(_HEAD_SIZES)}, but is {name!r}.")
    return _HEAD_SIZES[name]
