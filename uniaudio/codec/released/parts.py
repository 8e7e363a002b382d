"""Released weights of one part under our names: every tensor is renamed, known to be derivable, or an error.

Reads    a state dict of the released part, keys relative to it
Writes   a state dict for `load_state_dict(strict=True)` of our module, and the sizes the tensors reveal
Row in   {"layers.0._codebook.embed": [1, 4096, 64]}
Row out  {"codebooks.0.vectors": [4096, 64]}
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError

from uniaudio.codec.config.parts import FlowConfig

State = dict[str, Tensor]
# A pattern and what a full match becomes; an empty replacement drops a tensor that we compute ourselves.
Rules = Sequence[tuple[str, str]]

RESIDUAL_VQ: Rules = (
    (r"(project_(?:in|out)\.(?:weight|bias))", r"\1"),
    (r"layers\.(\d+)\._codebook\.embed", r"codebooks.\1.vectors"),
    (r"layers\.(\d+)\._codebook\.embed_avg", r"codebooks.\1.cluster_sum"),
    (r"layers\.(\d+)\._codebook\.cluster_size", r"codebooks.\1.cluster_size"),
    (r"layers\.(\d+)\._codebook\.initted", r"codebooks.\1.initialized"),
)
QUERY_BLOCKS: Rules = (
    (r"(\d+)\.self_attn\.to_qkv\.(parametrizations\.weight\.original[01])", r"blocks.\1.qkv.\2"),
    (r"(\d+)\.self_attn\.to_out\.(parametrizations\.weight\.original[01])", r"blocks.\1.attention_out.\2"),
    (r"(\d+)\.self_attn\.q_norm\.(weight|bias)", r"blocks.\1.query_norm.\2"),
    (r"(\d+)\.self_attn\.k_norm\.(weight|bias)", r"blocks.\1.key_norm.\2"),
    (r"(\d+)\.self_attn_scale\.scale", r"blocks.\1.attention_scale"),
    (r"(\d+)\.ff\.ff\.0\.proj\.(bias|parametrizations\.weight\.original[01])", r"blocks.\1.ff_in.\2"),
    (r"(\d+)\.ff\.ff\.2\.(bias|parametrizations\.weight\.original[01])", r"blocks.\1.ff_out.\2"),
    (r"(\d+)\.ff_scale\.scale", r"blocks.\1.ff_scale"),
    (r"(\d+)\.rope\.inv_freq", ""),
)
FLOW_TRANSFORMER: Rules = (
    (r"scale_shift_table", "modulation"),
    (r"pos_embed\.pe", ""),
    (r"proj_(in|out)\.ffn_1\.(weight|bias)", r"project_\1.convolution.\2"),
    (r"proj_(in|out)\.ffn_2\.(weight|bias)", r"project_\1.linear.\2"),
    (r"adaln_single\.emb\.timestep_embedder\.linear_1\.(weight|bias)", r"time.layers.0.\1"),
    (r"adaln_single\.emb\.timestep_embedder\.linear_2\.(weight|bias)", r"time.layers.2.\1"),
    (r"adaln_single\.linear\.(weight|bias)", r"time.modulation.\1"),
    (r"transformer_blocks\.(\d+)\.scale_shift_table", r"blocks.\1.modulation"),
    (r"transformer_blocks\.(\d+)\.attn1\.to_q\.(weight|bias)", r"blocks.\1.query.\2"),
    (r"transformer_blocks\.(\d+)\.attn1\.to_k\.(weight|bias)", r"blocks.\1.key.\2"),
    (r"transformer_blocks\.(\d+)\.attn1\.to_v\.(weight|bias)", r"blocks.\1.value.\2"),
    (r"transformer_blocks\.(\d+)\.attn1\.to_out\.0\.(weight|bias)", r"blocks.\1.attention_out.\2"),
    (r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj\.(weight|bias)", r"blocks.\1.feed_forward.0.\2"),
    (r"transformer_blocks\.(\d+)\.ff\.net\.2\.(weight|bias)", r"blocks.\1.feed_forward.2.\2"),
)
SEMANTIC_DECODER: Rules = (
    (r"conv1\.conv\.weight", "convolution_in.weight"),
    (r"conv2\.conv\.weight", "convolution_out.weight"),
    (r"conv_blocks\.(\d+)\.conv\.(?:conv|deconv)\.(weight|bias)", r"stages.\1.convolution.\2"),
    (r"conv_blocks\.(\d+)\.res_units\.(\d+)\.conv1\.conv\.weight", r"stages.\1.units.\2.wide.weight"),
    (r"conv_blocks\.(\d+)\.res_units\.(\d+)\.conv2\.weight", r"stages.\1.units.\2.narrow.weight"),
)
FILM: Rules = ((r"(weight|bias)", r"delta_beta.\1"),)
_CAPTURE = re.compile(r"\((?!\?)((?:[^()]|\([^()]*\))*)\)")
"""A capturing group, at most one other group in it."""


def rename(released: Mapping[str, Tensor], rules: Rules, *, part: str) -> State:
    """Apply the one rule that matches each key; a key without a rule is a `DataError` that lists all of them."""
    new_keys: dict[str, str] = {}
    unknown: list[str] = []
    for key in released:
        matches = [match.expand(new) for old, new in rules if (match := re.fullmatch(old, key))]
        if not matches:
            unknown.append(key)
        elif matches[0]:
            new_keys[key] = matches[0]
    if unknown:
        raise DataError(f"{part}: {len(unknown)} unknown tensors: {', '.join(sorted(unknown)[:8])}.")
    return under_new_names(released, new_keys, part=part)


def with_prefixes(rules: Rules, theirs: str, ours: str) -> Rules:
    """The same rules for keys that begin with `theirs`. They are renamed to keys that begin with `ours`."""
    return [(rf"{re.escape(theirs)}(?:{old})", new and f"{ours}{new}") for old, new in rules]


def old_key(rules: Rules, new_key: str) -> str:
    """The key that `rules` rename to `new_key`, which errors call it by; `new_key` where there is none."""
    for old, new in rules:
        # Literals and groups take turns: old is literal, group 1, literal, …; new is literal, number, literal, …
        theirs, ours = _CAPTURE.split(old), re.split(r"\\(\d)", new)
        numbers = [int(number) for number in ours[1::2]]
        pattern = "".join(
            re.escape(piece) if place % 2 == 0 else f"({theirs[2 * int(piece) - 1]})"
            for place, piece in enumerate(ours)
        )
        if match := re.fullmatch(pattern, new_key):
            theirs[1::2] = [match[1 + numbers.index(number)] for number in range(1, 1 + len(numbers))]
            return re.sub(r"\\(.)|\(\?:|\)", r"\1", "".join(theirs))
    return new_key


def under_new_names(released: Mapping[str, Tensor], new_keys: Mapping[str, str], *, part: str) -> State:
    """The tensors of `new_keys` under its values. Two of one new name must be equal: else a `DataError` names both."""
    state: State = {}
    old_keys: dict[str, str] = {}
    for key, new_key in new_keys.items():
        if new_key in state and not equal(state[new_key], released[key]):
            raise DataError(f"{part}: `{old_keys[new_key]}` and `{key}` are one weight and must be equal, but differ.")
        state[new_key], old_keys[new_key] = released[key], key
    return state


def equal(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are equal in type, shape and every value."""
    return first.dtype == second.dtype and torch.equal(first, second)


def sizes_of(shapes: Mapping[str, tuple[int, ...]], key: str, num_dims: int, *, prefix: str = "") -> tuple[int, ...]:
    """The sizes of a released tensor, none of them 0. `DataError` names a tensor that is missing or has another number of
    dimensions. `prefix` is the part of its released name that `key` no longer has."""
    if key not in shapes:
        raise DataError(f"released codec: no tensor `{prefix}{key}` to read a size from.")
    shape = shapes[key]
    if len(shape) != num_dims or 0 in shape:
        raise DataError(
            f"released codec: `{prefix}{key}` must have {num_dims} dimensions, none 0, but has shape {list(shape)}."
        )
    return shape


def new_weight_norm_names(released: Mapping[str, Tensor]) -> State:
    """Spell `weight_g` and `weight_v` of older weight norms as today's parametrization does."""
    return under_new_names(released, {key: new_weight_norm_name(key) for key in released}, part="weight norm")


def new_weight_norm_name(key: str) -> str:
    """The name of one tensor after torch's newer weight normalization."""
    spelling = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return re.sub(r"\bweight_[gv]$", lambda match: spelling[match[0]], key)


def residual_vq_state(released: Mapping[str, Tensor]) -> State:
    """The state of a `ResidualVQ`. Moving averages that the file lacks start at its code vectors."""
    return settle_codebooks(rename(released, RESIDUAL_VQ, part="residual VQ"))


def settle_codebooks(state: State) -> State:
    """The state with every renamed codebook complete and in our shapes."""
    state = dict(state)
    for key in [key for key in state if ".codebooks." in f".{key}"]:
        # The library keeps a leading axis of one for several heads, and old versions of it a flag of shape (1,).
        state[key] = state[key].squeeze() if key.endswith("initialized") else state[key].squeeze(0)
    for key in [key for key in state if key.endswith(".vectors")]:
        codebook = key.removesuffix("vectors")
        state.setdefault(f"{codebook}cluster_sum", state[key].clone())
        state.setdefault(f"{codebook}cluster_size", torch.ones(state[key].shape[:1]))
        state.setdefault(f"{codebook}initialized", torch.tensor(True))
    return state


def flow_config(released: Mapping[str, Tensor], *, head_dim: int, prefix: str = "") -> FlowConfig:
    """Sizes of the flow transformer; the width of a head is the one thing its tensors do not show. `prefix` is what
    errors put before the keys."""
    shapes = {key: tuple(tensor.shape) for key, tensor in released.items()}
    dim, input_dim, _ = sizes_of(shapes, "proj_in.ffn_1.weight", 3, prefix=prefix)
    latent_dim = sizes_of(shapes, "proj_out.ffn_2.weight", 2, prefix=prefix)[0]
    return FlowConfig(
        latent_dim=latent_dim,
        condition_dim=input_dim - 2 * latent_dim,
        dim=dim,
        num_layers=count_indices(released, r"transformer_blocks\.(\d+)\."),
        num_heads=dim // head_dim,
        ff_multiplier=sizes_of(shapes, "transformer_blocks.0.ff.net.0.proj.weight", 2, prefix=prefix)[0] // dim,
        time_dim=sizes_of(shapes, "adaln_single.emb.timestep_embedder.linear_1.weight", 2, prefix=prefix)[1],
    )


def count_indices(released: Mapping[str, object], pattern: str) -> int:
    """How many different indices the keys that start with `pattern` carry."""
    return len({match[1] for key in released if (match := re.match(pattern, key))})
