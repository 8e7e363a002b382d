"""The weights of a trained model: one safetensors file, its id, and the row that says what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.plain import from_json

from uniaudio.lm.config import LMConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.vocabulary import Vocabulary

MODEL_FILE = "model.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """What the column `config` of a checkpoint holds as JSON."""

    model: LMConfig
    vocabulary: Vocabulary
    stage: dict[str, Any] = field(default_factory=dict)
    """`StageConfig.to_dict` of the stage that it ends."""


def config_of(row: Checkpoint) -> CheckpointConfig:
    """DataError where the row's config is none; FingerprintError where its vocabulary is not the one it says."""
    config = from_json(CheckpointConfig, row.config, f"checkpoint {row.checkpoint_id}")
    config.vocabulary.require(row.vocabulary_fingerprint, f"checkpoint {row.checkpoint_id[:8]}")
    return config


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name. DataError where it is none."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: not a safetensors file ({error}).") from error


def load_model(path: Path, config: LMConfig) -> UniAudioLM:
    """The model of a safetensors file that holds its tensors, no more and no other. They lie in the file, mapped: what is not written to
    takes no memory of its own, and ranks of one machine that shard the model have one copy between them.
    """
    with torch.device("meta"):
        model = UniAudioLM(config)
    tensors = read_tensors(path)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    actual = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != actual:
        differing = sorted(name for name in {*expected, *actual} if expected.get(name) != actual.get(name))
        raise DataError(f"{path}: must hold the model's tensors, but differs in {', '.join(differing[:5])}.")
    model.load_state_dict(tensors, assign=True)
    return model


def checkpoint_id(config: str, stage: str, tensors: Mapping[str, Tensor]) -> str:
    """First 32 hex digits of sha256(config, stage, every tensor's name, dtype, shape and bytes)."""
    digest = sha256(f"{config}\0{stage}\0".encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]
