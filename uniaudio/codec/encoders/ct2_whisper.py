"""Read a Whisper model in CTranslate2's file format and give its weights the names openai-whisper or transformers use.

Reads    a CTranslate2 `model.bin` (format version 6: variables of known types, then aliases)
Gives    name -> tensor, and the dimensions the names imply: {"n_mels": 80, "n_audio_state": 512, "n_vocab": 51865, …}

Nothing in the file is executed: it holds names, shapes and numbers, and a length that leaves the file is a `DataError`.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError

_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_HEAD_WIDTH = 64
"""Width of one attention head in every released Whisper."""
_TEXT_CONTEXT = 448


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """What one library calls the parts of a Whisper model; `{side}` is `encoder` or `decoder`, `{layer}` a number."""

    prefix: str
    layer: str
    positions: str
    tokens: str
    final_norm: dict[str, str]
    self_attention: tuple[str, str]
    """Attention block and its layer norm."""
    cross_attention: tuple[str, str]
    projections: tuple[str, str, str, str]
    """Query, key, value, output."""
    feed_forward: tuple[str, str]
    feed_forward_norm: str


OPENAI = Names(
    prefix="",
    layer="{side}.blocks.{layer}",
    positions="{side}.positional_embedding",
    tokens="decoder.token_embedding.weight",
    final_norm={"encoder": "encoder.ln_post", "decoder": "decoder.ln"},
    self_attention=("attn", "attn_ln"),
    cross_attention=("cross_attn", "cross_attn_ln"),
    projections=("query", "key", "value", "out"),
    feed_forward=("mlp.0", "mlp.2"),
    feed_forward_norm="mlp_ln",
)
TRANSFORMERS = Names(
    prefix="model.",
    layer="{side}.layers.{layer}",
    positions="{side}.embed_positions.weight",
    tokens="decoder.embed_tokens.weight",
    final_norm={"encoder": "encoder.layer_norm", "decoder": "decoder.layer_norm"},
    self_attention=("self_attn", "self_attn_layer_norm"),
    cross_attention=("encoder_attn", "encoder_attn_layer_norm"),
    projections=("q_proj", "k_proj", "v_proj", "out_proj"),
    feed_forward=("fc1", "fc2"),
    feed_forward_norm="final_layer_norm",
)


def read_ct2(data: bytes, name: str = "model.bin") -> dict[str, np.ndarray]:
    """Variable name -> array, aliases included. `name` is what errors call the file."""
    cursor = _Cursor(data, name)
    cursor.number("I")
    if (spec := cursor.text()) != "WhisperSpec":
        raise DataError(f"{name}: must hold a WhisperSpec, but holds {spec!r}.")
    cursor.number("I")
    variables: dict[str, np.ndarray] = {}
    for _ in range(cursor.number("I")):
        key = cursor.text()
        shape = [cursor.number("I") for _ in range(cursor.number("B"))]
        kind, num_bytes = cursor.number("B"), cursor.number("I")
        if kind not in _DTYPES:
            raise DataError(f"{name}: variable {key} must have a type of {sorted(_DTYPES)}, but has {kind}.")
        values = np.frombuffer(cursor.take(num_bytes), _DTYPES[kind])
        if values.size != int(np.prod(shape)):
            raise DataError(f"{name}: variable {key} must have {int(np.prod(shape))} values, but has {values.size}.")
        variables[key] = values.reshape(shape)
    for _ in range(cursor.number("I")):
        alias, key = cursor.text(), cursor.text()
        variables[alias] = _get(variables, key, name)
    return variables


def dimensions(variables: dict[str, np.ndarray]) -> dict[str, int]:
    """The sizes of the model, under the names of openai-whisper's `ModelDimensions`."""
    width, num_mels, _ = _get(variables, "encoder/conv1/weight").shape
    vocabulary, text_width = _get(variables, "decoder/embeddings/weight").shape
    return {
        "n_mels": num_mels,
        "n_audio_ctx": _get(variables, "encoder/position_encodings/encodings").shape[0],
        "n_audio_state": width,
        "n_audio_head": width // _HEAD_WIDTH,
        "n_audio_layer": _num_layers(variables, "encoder"),
        "n_vocab": vocabulary,
        "n_text_ctx": _TEXT_CONTEXT,
        "n_text_state": text_width,
        "n_text_head": text_width // _HEAD_WIDTH,
        "n_text_layer": _num_layers(variables, "decoder"),
    }


def transformers_config(variables: dict[str, np.ndarray]) -> dict[str, Any]:
    """Keyword arguments of transformers' `WhisperConfig` for the same model."""
    sizes = dimensions(variables)
    multilingual = sizes["n_vocab"] >= 51865
    end = 50257 if multilingual else 50256
    return {
        "vocab_size": sizes["n_vocab"],
        "num_mel_bins": sizes["n_mels"],
        "d_model": sizes["n_audio_state"],
        "encoder_layers": sizes["n_audio_layer"],
        "decoder_layers": sizes["n_text_layer"],
        "encoder_attention_heads": sizes["n_audio_head"],
        "decoder_attention_heads": sizes["n_text_head"],
        "encoder_ffn_dim": 4 * sizes["n_audio_state"],
        "decoder_ffn_dim": 4 * sizes["n_text_state"],
        "max_source_positions": sizes["n_audio_ctx"],
        "max_target_positions": sizes["n_text_ctx"],
        "decoder_start_token_id": end + 1,
        "pad_token_id": end,
        "bos_token_id": 50257,
        "eos_token_id": end,
    }


def rename(variables: dict[str, np.ndarray], names: Names, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The model's state dict under `names` (`OPENAI` or `TRANSFORMERS`)."""
    state = _Renamer(variables, names)
    for side in ("encoder", "decoder"):
        state.put(names.positions.format(side=side), f"{side}/position_encodings/encodings")
        state.norm(names.final_norm[side], f"{side}/layer_norm")
        for layer in range(_num_layers(variables, side)):
            state.layer(side, layer)
    for convolution in ("conv1", "conv2"):
        state.linear(f"encoder.{convolution}", f"encoder/{convolution}")
    state.put(names.tokens, "decoder/embeddings/weight")
    return {name: tensor.to(dtype) for name, tensor in state.tensors.items()}


class _Renamer:
    def __init__(self, variables: dict[str, np.ndarray], names: Names) -> None:
        self._variables, self._names = variables, names
        self.tensors: dict[str, Tensor] = {}

    def get(self, key: str) -> Tensor:
        return torch.from_numpy(_get(self._variables, key).astype(np.float32))

    def set(self, name: str, tensor: Tensor) -> None:
        self.tensors[self._names.prefix + name] = tensor.contiguous()

    def put(self, name: str, key: str) -> None:
        self.set(name, self.get(key))

    def linear(self, name: str, key: str) -> None:
        self.put(f"{name}.weight", f"{key}/weight")
        self.put(f"{name}.bias", f"{key}/bias")

    def norm(self, name: str, key: str) -> None:
        self.put(f"{name}.weight", f"{key}/gamma")
        self.put(f"{name}.bias", f"{key}/beta")

    def layer(self, side: str, layer: int) -> None:
        name, key = self._names.layer.format(side=side, layer=layer), f"{side}/layer_{layer}"
        self._attention(name, self._names.self_attention, f"{key}/self_attention", packed=("linear_0", "qkv"))
        if side == "decoder":
            self._attention(name, self._names.cross_attention, f"{key}/attention", packed=("linear_1", "kv"))
        for part, linear in zip(self._names.feed_forward, ("linear_0", "linear_1"), strict=True):
            self.linear(f"{name}.{part}", f"{key}/ffn/{linear}")
        self.norm(f"{name}.{self._names.feed_forward_norm}", f"{key}/ffn/layer_norm")

    def _attention(self, name: str, names: tuple[str, str], key: str, packed: tuple[str, str]) -> None:
        """CTranslate2 keeps the projections of one input in one matrix: query, key and value, or key and value."""
        block, norm = f"{name}.{names[0]}", f"{name}.{names[1]}"
        query, keys, value, out = self._names.projections
        linear, kinds = packed
        parts = {"q": query, "k": keys, "v": value}
        weights = self.get(f"{key}/{linear}/weight").chunk(len(kinds))
        biases = self.get(f"{key}/{linear}/bias").chunk(len(kinds))
        for kind, weight, bias in zip(kinds, weights, biases, strict=True):
            self.set(f"{block}.{parts[kind]}.weight", weight)
            if kind != "k":  # Whisper's key projection has no bias; the packed one is zero there.
                self.set(f"{block}.{parts[kind]}.bias", bias)
        if kinds == "kv":
            self.linear(f"{block}.{query}", f"{key}/linear_0")
        self.linear(f"{block}.{out}", f"{key}/{'linear_1' if kinds == 'qkv' else 'linear_2'}")
        self.norm(norm, f"{key}/layer_norm")


class _Cursor:
    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name, self._position = memoryview(data), name, 0

    def take(self, num_bytes: int) -> memoryview:
        end = self._position + num_bytes
        if end > len(self._data):
            raise DataError(f"{self._name}: ends at byte {len(self._data)} where {num_bytes} bytes should follow.")
        data, self._position = self._data[self._position : end], end
        return data

    def number(self, kind: str) -> int:
        return int(struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))[0])

    def text(self) -> str:
        try:
            return bytes(self.take(self.number("H"))).rstrip(b"\0").decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{self._name}: a name before byte {self._position} is not UTF-8.") from error


def _get(variables: dict[str, np.ndarray], key: str, name: str = "model.bin") -> np.ndarray:
    if key not in variables:
        raise DataError(f"{name}: has no variable {key}.")
    return variables[key]


def _num_layers(variables: dict[str, np.ndarray], side: str) -> int:
    parts = {key.split("/")[1] for key in variables if key.startswith(f"{side}/layer_")}
    return sum(part.removeprefix("layer_").isdigit() for part in parts)
