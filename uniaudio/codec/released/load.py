"""Load the released codec: two files of the authors' weights become one of our codecs.

Reads    the codec's checkpoint (1,735 tensors and a resampler's) and the scalar autoencoder's (`codec_model`)
Writes   a `ReasoningCodec` in compat arithmetic, its sizes read from the tensors, so that both releases load
Row in   {"audio_thinking.reasoning_vq.project_in.weight": [64, 768]}
Row out  {"reasoning.quantizer.project_in.weight": [64, 768]}

Every tensor is used, known to be unneeded, or an error; so is every tensor of ours that the files lack.
"""

import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from uniaudio_schemas.errors import DataError

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.released.config import QUANTIZERS
from uniaudio.codec.released.music import MUSIC
from uniaudio.codec.released.parts import (
    FILM,
    FLOW_TRANSFORMER,
    QUERY_BLOCKS,
    RESIDUAL_VQ,
    SEMANTIC_DECODER,
    Rules,
    State,
    new_weight_norm_name,
    new_weight_norm_names,
    old_key,
    rename,
    settle_codebooks,
    under_new_names,
    with_prefixes,
)
from uniaudio.codec.released.scalar import scalar_rules, scalar_state
from uniaudio.codec.weights import check_fit

# The released groups and our words for them.
GROUPS = {"phone": "phone", "semantic": "music", "acoustic": "acoustic"}
# Whisper and WavLM keep the names of transformers.
KEPT: Rules = ((r"(.+)", r"\1"),)
PARTS: Sequence[tuple[str, str, Rules]] = (
    ("audio_thinking.encoder_transformers.", "reasoning.query_transformer.", QUERY_BLOCKS),
    ("audio_thinking.reasoning_vq.", "reasoning.quantizer.", RESIDUAL_VQ),
    ("pronunciation_decoder.", "reconstruction.phone_decoder.", SEMANTIC_DECODER),
    ("cfm_wrapper.estimator.", "flow.transformer.", FLOW_TRANSFORMER),
    ("whisper_encoder.", "encoders.whisper.model.", KEPT),
    ("wavlm_encoder.", "encoders.wavlm.model.", KEPT),
    ("pretrained_model.model.model.", "encoders.music.model.", MUSIC),
    *((f"time_film_{theirs}.", f"reconstruction.film.{ours}.", FILM) for theirs, ours in GROUPS.items()),
    *((f"vq_{theirs}.", f"reconstruction.quantizers.{ours}.", RESIDUAL_VQ) for theirs, ours in QUANTIZERS.items()),
)
"""Released prefix, our prefix, and the rules for the names behind them."""
QUERY = "reasoning.query_transformer.query"
RULES: Rules = (
    *(rule for theirs, ours, rules in PARTS for rule in with_prefixes(rules, theirs, ours)),
    (r"audio_thinking\.cls_token", QUERY),
    (r"zero_cond_embedding1", "reconstruction.padding_condition"),
    (r"d_conv_(whisper|wavlm)\.(weight|bias)", r"reconstruction.\1_down.\2"),
    (r"d_conv_embedding_(semantic|acoustic)\.(weight|bias)", r"reconstruction.music_\1_down.\2"),
    (r"reason_adaptor\.(weight|bias)", r"reconstruction.reasoning_adaptor.\1"),
    (r"cond_feature_emb\.(weight|bias)", r"reconstruction.condition_out.\1"),
    *(
        (rf"cond_fusion_layer_{theirs}\.(weight|bias)", rf"reconstruction.fuse.{ours}.\1")
        for theirs, ours in GROUPS.items()
    ),
    (r"audio_thinking\.down_sampling_layer_whisper\.(weight|bias)", r"reasoning.whisper_down.\1"),
    (r"audio_thinking\.semantic_merge_proj\.(weight|bias)", r"reasoning.merge.\1"),
    # A decoder that no loss of the released trainer reaches, and tables of a resampler that we compute.
    (r"structure_semantic_decoder\..*|\w+_transfer\.kernel", ""),
)
# Training only: a file without them still encodes and decodes.
OPTIONAL_PREFIX = "reconstruction.phone_decoder."
# Where a released pickle keeps its tensors: the codec's, the scalar autoencoder's.
TOP_KEYS = ("model", "codec_model")


def read_released(path: str | Path) -> State:
    """Tensors of a `.safetensors` file, or of a pickle that holds nothing but tensors and plain values, under one of
    `TOP_KEYS` or at its top, both spellings of weight norm as one; whole names are in the error where two differ."""
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
            tensors = next((content[key] for key in TOP_KEYS if isinstance(content.get(key), dict)), content)
        tensors = {name: tensor for name, tensor in tensors.items() if torch.is_tensor(tensor)}
        new_keys = {name: new_weight_norm_name(name.removeprefix("module.")) for name in tensors}
    except Exception as error:  # unpickling damaged or foreign bytes may raise anything
        raise DataError(f"{path}: not a file of tensors alone; convert it to safetensors first: {error}") from error
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise DataError(f"{path}: `{name}` must be a plain tensor, but is {tensor.type()}.")
    return under_new_names(tensors, new_keys, part=str(path))


def fill_released(codec: ReasoningCodec, released: Mapping[str, Tensor], scalar: Mapping[str, Tensor]) -> None:
    """Load both files into a codec of their sizes; `DataError` lists what is missing, unknown or misshapen."""
    fresh = codec.state_dict()
    state = released_state(fresh, released, scalar)
    codec.load_state_dict({**fresh, **state})


def released_state(own: Mapping[str, Tensor], released: Mapping[str, Tensor], scalar: Mapping[str, Tensor]) -> State:
    """Both files under our names; `DataError` lists what does not fit `own`, a state dict of our codec, under theirs as
    `read_released` spells them."""
    state = codec_state(released)
    state |= {f"scalar.{key}": tensor for key, tensor in scalar_state(scalar).items()}
    rules = [*RULES, *with_prefixes(scalar_rules(scalar), "", "scalar.")]
    check_fit(own, state, what="released codec", may_lack=OPTIONAL_PREFIX, their_name=partial(old_key, rules))
    return state


def codec_state(released: Mapping[str, Tensor]) -> State:
    """The codec's tensors (or gradients of any of them) under our names, without the scalar autoencoder."""
    state = settle_codebooks(rename(new_weight_norm_names(released), RULES, part="released codec"))
    return state | {key: state[key].squeeze(0) for key in (QUERY,) if key in state}
