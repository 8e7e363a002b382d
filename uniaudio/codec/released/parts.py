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

from uniaudio.codec.part_configs import FlowConfig

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


def rename(released: Mapping[str, Tensor], rules: Rules, *, part: str) -> State:
    """Apply the one rule that matches each key; a key without a rule is a `DataError` that lists all of them."""
    renamed: State = {}
    unknown: list[str] = []
    for key, tensor in released.items():
        new_keys = [match.expand(new) for old, new in rules if (match := re.fullmatch(old, key))]
        if not new_keys:
            unknown.append(key)
        elif new_keys[0]:
            renamed[new_keys[0]] = tensor
    if unknown:
        raise DataError(f"{part}: {len(unknown)} unknown tensors: {', '.join(sorted(unknown)[:8])}.")
    return renamed


def new_weight_norm_names(released: Mapping[str, Tensor]) -> State:
    """Spell `weight_g` and `weight_v` of older weight norms as today's parametrization does."""
    spelling = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return {re.sub(r"\bweight_[gv]$", lambda match: spelling[match[0]], key): value for key, value in released.items()}


def residual_vq_state(released: Mapping[str, Tensor]) -> State:
    """For `ResidualVQ`; moving averages that the file leaves out start afresh at its code vectors."""
    state = rename(released, RESIDUAL_VQ, part="residual VQ")
    for key in [key for key in state if key.startswith("codebooks.")]:
        # The library keeps a leading axis of one for several heads, and old versions of it a flag of shape (1,).
        state[key] = state[key].reshape(()) if key.endswith("initialized") else state[key].squeeze(0)
    for key in [key for key in state if key.endswith(".vectors")]:
        codebook = key.removesuffix("vectors")
        state.setdefault(f"{codebook}cluster_sum", state[key].clone())
        state.setdefault(f"{codebook}cluster_size", torch.ones(len(state[key])))
        state.setdefault(f"{codebook}initialized", torch.tensor(True))
    return state


def query_transformer_state(blocks: Mapping[str, Tensor], query: Tensor) -> State:
    """For `QueryTransformer`: `audio_thinking.encoder_transformers.*` and `audio_thinking.cls_token`."""
    state = rename(new_weight_norm_names(blocks), QUERY_BLOCKS, part="query transformer")
    return {**state, "query": query.reshape(-1)}


def flow_transformer_state(released: Mapping[str, Tensor]) -> State:
    """For `FlowTransformer`: `cfm_wrapper.estimator.*`."""
    return rename(released, FLOW_TRANSFORMER, part="flow transformer")


def semantic_decoder_state(released: Mapping[str, Tensor]) -> State:
    """For `SemanticDecoder`: `pronunciation_decoder.*` or `structure_semantic_decoder.*`."""
    return rename(released, SEMANTIC_DECODER, part="semantic decoder")


def film_state(released: Mapping[str, Tensor]) -> State:
    """For `TimeFiLM`: `time_film_*.*`."""
    return rename(released, FILM, part="FiLM")


def flow_config(released: Mapping[str, Tensor], *, head_dim: int) -> FlowConfig:
    """Sizes of the flow transformer; the width of a head is the one thing its tensors do not show."""
    dim, input_dim, _ = released["proj_in.ffn_1.weight"].shape
    latent_dim = released["proj_out.ffn_2.weight"].shape[0]
    return FlowConfig(
        latent_dim=latent_dim,
        condition_dim=input_dim - 2 * latent_dim,
        dim=dim,
        num_layers=count_indices(released, r"transformer_blocks\.(\d+)\."),
        num_heads=dim // head_dim,
        ff_multiplier=released["transformer_blocks.0.ff.net.0.proj.weight"].shape[0] // dim,
        time_dim=released["adaln_single.emb.timestep_embedder.linear_1.weight"].shape[1],
    )


def count_indices(released: Mapping[str, Tensor], pattern: str) -> int:
    """How many different indices the keys that start with `pattern` carry."""
    return len({match[1] for key in released if (match := re.match(pattern, key))})
