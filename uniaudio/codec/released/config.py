"""Sizes of a released codec, read from the shapes of its tensors.

Reads    both released state dicts
Writes   a `CodecConfig`: the `released` preset with every size the tensors show
Row in   {"vq_acoustic.layers.0._codebook.embed": [1, 8192, 32]}
Row out  QuantizerConfig(num_levels=6, codebook_size=8192, code_dim=32, dead_code_threshold=2.0)
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.codec.config.presets import CodecConfig, QuantizerConfig, TransformerConfig
from uniaudio.codec.released.parts import count_indices, flow_config, sizes_of
from uniaudio.codec.released.scalar import scalar_config

# The released quantizers and our words for their groups.
QUANTIZERS = {"pronunciation_semantic": "phone", "structure_semantic": "music", "acoustic": "acoustic"}
FLOW = "cfm_wrapper.estimator."
QUERY_BLOCKS = "audio_thinking.encoder_transformers."
# Widths of heads that no tensor shows.
FLOW_HEAD_DIM = WHISPER_HEAD_DIM = MUSIC_HEAD_DIM = 64

Shapes = Mapping[str, tuple[int, ...]]


def released_config(
    released: Mapping[str, Tensor],
    scalar: Mapping[str, Tensor],
    *,
    causal: bool,
    flow_head_dim: int = FLOW_HEAD_DIM,
    whisper_head_dim: int = WHISPER_HEAD_DIM,
) -> CodecConfig:
    """All sizes that the tensors show, on top of the `released` preset."""
    try:
        return _config(released, scalar, causal, flow_head_dim, whisper_head_dim)
    except UsageError as error:
        raise DataError(f"released codec: no codec has the sizes of these tensors: {error}") from error


def _config(
    released: Mapping[str, Tensor],
    scalar: Mapping[str, Tensor],
    causal: bool,
    flow_head_dim: int,
    whisper_head_dim: int,
) -> CodecConfig:
    shapes = {key: tuple(tensor.shape) for key, tensor in released.items()}
    preset = CodecConfig.preset("released")
    flow = {key.removeprefix(FLOW): tensor for key, tensor in released.items() if key.startswith(FLOW)}
    groups = {ours: _quantizer_config(shapes, f"vq_{theirs}.") for theirs, ours in QUANTIZERS.items()}
    reasoning = _quantizer_config(shapes, "audio_thinking.reasoning_vq.")
    return replace(
        preset,
        size="released_1024" if reasoning.codebook_size == 1024 else preset.size,
        whisper=_whisper_config(shapes, whisper_head_dim),
        wavlm=_wavlm_config(shapes, preset.wavlm.layers),
        music=_music_config(shapes, preset.music.layers),
        dim=sizes_of(shapes, "zero_cond_embedding1", 1)[0],
        num_reasoning_layers=count_indices(shapes, rf"{re.escape(QUERY_BLOCKS)}(\d+)\."),
        reasoning_head_dim=sizes_of(shapes, f"{QUERY_BLOCKS}0.self_attn.q_norm.weight", 1)[0],
        reasoning=replace(reasoning, dead_code_threshold=preset.reasoning.dead_code_threshold),
        phone=groups["phone"],
        music_group=groups["music"],
        acoustic=groups["acoustic"],
        flow=flow_config(flow, head_dim=flow_head_dim, prefix=FLOW),
        scalar=scalar_config(scalar, causal=causal),
        pad_whisper=True,
    )


def _quantizer_config(shapes: Shapes, prefix: str) -> QuantizerConfig:
    _, codebook_size, code_dim = sizes_of(shapes, f"{prefix}layers.0._codebook.embed", 3)
    return QuantizerConfig(
        num_levels=count_indices(shapes, rf"{re.escape(prefix)}layers\.(\d+)\."),
        codebook_size=codebook_size,
        code_dim=code_dim,
        dead_code_threshold=2.0,
    )


def _whisper_config(shapes: Shapes, head_dim: int) -> TransformerConfig:
    dim = sizes_of(shapes, "whisper_encoder.conv1.weight", 3)[0]
    return TransformerConfig(
        dim=dim,
        num_layers=count_indices(shapes, r"whisper_encoder\.layers\.(\d+)\."),
        num_heads=dim // head_dim,
        ff_dim=sizes_of(shapes, "whisper_encoder.layers.0.fc1.weight", 2)[0],
        conv_dim=dim,
    )


def _wavlm_config(shapes: Shapes, layers: tuple[int, ...]) -> TransformerConfig:
    first = "wavlm_encoder.encoder.layers.0."
    return TransformerConfig(
        dim=sizes_of(shapes, "wavlm_encoder.encoder.layer_norm.weight", 1)[0],
        num_layers=count_indices(shapes, r"wavlm_encoder\.encoder\.layers\.(\d+)\."),
        num_heads=sizes_of(shapes, f"{first}attention.gru_rel_pos_const", 4)[1],
        ff_dim=sizes_of(shapes, f"{first}feed_forward.intermediate_dense.weight", 2)[0],
        conv_dim=sizes_of(shapes, "wavlm_encoder.feature_extractor.conv_layers.0.conv.weight", 3)[0],
        layers=layers,
    )


def _music_config(shapes: Shapes, layers: tuple[int, ...]) -> TransformerConfig:
    prefix = "pretrained_model.model.model."
    dim = sizes_of(shapes, f"{prefix}conv.linear.weight", 2)[0]
    frequencies = f"{prefix}conformer.embed_positions.inv_freq"
    head_dim = 2 * sizes_of(shapes, frequencies, 1)[0] if frequencies in shapes else MUSIC_HEAD_DIM
    return TransformerConfig(
        dim=dim,
        num_layers=count_indices(shapes, rf"{re.escape(prefix)}conformer\.layers\.(\d+)\."),
        num_heads=dim // head_dim,
        ff_dim=sizes_of(shapes, f"{prefix}conformer.layers.0.ffn1.intermediate_dense.weight", 2)[0],
        conv_dim=sizes_of(shapes, f"{prefix}conv.conv.0.conv1.weight", 4)[0],
        layers=layers,
    )
