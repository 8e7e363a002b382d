"""A training checkpoint: a folder that resumes a stage bit for bit, in formats anybody can read.

Holds   model.safetensors      every tensor of the model
        optimizer.safetensors  the optimizer's tensors, named <parameter>.<state>
        state.json             stage, step, data position, ledger, metrics so far

No pickle: the files are safetensors and JSON.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.plain import from_json

from uniaudio.lm.config import LMConfig
from uniaudio.sequence.vocabulary import Vocabulary

MODEL_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"


@dataclass(kw_only=True, slots=True)
class TrainingState:
    """Everything but tensors."""

    identity: str
    """Hash of stage, data and seed: a checkpoint of another run is refused."""
    stage: str
    step: int = 0
    """Optimizer steps done, skipped ones included."""
    num_skipped: int = 0
    """Steps whose gradient was not finite, or that had no target."""
    data: dict[str, Any] = field(default_factory=dict)
    """Position in the mixture."""
    metrics: list[dict[str, float | int | str]] = field(default_factory=list)
    """`{"step": 10, "name": "loss", "value": 3.1}`."""
    held_out_before: dict[str, float] = field(default_factory=dict)
    """Task -> mean held-out loss a token at the stage's start."""


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


def _optimizer_tensors(optimizer: Optimizer, parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every tensor of the model by name, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def save_checkpoint(
    folder: Path, model: nn.Module, optimizer: Optimizer, parameters: dict[str, nn.Parameter], state: TrainingState
) -> None:
    """Write the folder; it appears whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    save_file(model_tensors(model), partial / MODEL_FILE)
    save_file(_optimizer_tensors(optimizer, parameters), partial / OPTIMIZER_FILE)
    (partial / STATE_FILE).write_text(json.dumps(asdict(state), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)


def load_state(folder: Path) -> TrainingState:
    path = folder / STATE_FILE
    try:
        return TrainingState(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise DataError(f"{path}: not the state of a training checkpoint ({error}).") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name. DataError where it is none."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: not a safetensors file ({error}).") from error


def load_model(path: Path, model: nn.Module) -> None:
    """Load every tensor of `model` from a safetensors file; names and shapes must be equal."""
    tensors = read_tensors(path)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        differing = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
        raise DataError(f"{path}: must hold the model's tensors, but differs in {', '.join(differing[:5])}.")
    model.load_state_dict(tensors)


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: Optimizer, parameters: dict[str, nn.Parameter], identity: str
) -> TrainingState:
    """Load a folder that `save_checkpoint` wrote into model and optimizer."""
    state = load_state(folder)
    if state.identity != identity:
        raise UsageError(
            f"`resume_from` must be a checkpoint of this stage, data and seed, but {folder} is of another run."
        )
    load_model(folder / MODEL_FILE, model)
    saved: dict[str, dict[str, Tensor]] = {}
    for key, value in read_tensors(folder / OPTIMIZER_FILE).items():
        name, _, state_name = key.rpartition(".")
        saved.setdefault(name, {})[state_name] = value
    for name, parameter in parameters.items():
        if name in saved:
            # AdamW keeps its step counts on the CPU and its moments beside the parameter.
            optimizer.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device) for key, value in saved[name].items()
            }
    return state


def checkpoint_id(config: str, stage: str, tensors: Mapping[str, Tensor]) -> str:
    """First 32 hex digits of sha256(config, stage, every tensor's name, dtype, shape and bytes)."""
    digest = sha256(f"{config}\0{stage}\0".encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]
