"""Where codec training is, in files anybody can read.

Holds   codec.safetensors  teacher.safetensors  optimizer.safetensors (named <parameter>.<state>)  state.json
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.fingerprint import hash_json
from uniaudio_schemas.kinds.codec import Metric

from uniaudio.codec.codec import CONFIG_FILE, WEIGHTS_FILE, ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.codec_phase import CodecPhase

TEACHER_FILE, OPTIMIZER_FILE, STATE_FILE = "teacher.safetensors", "optimizer.safetensors", "state.json"


@dataclass(kw_only=True)
class TrainingState:
    """Everything but tensors."""

    identity: str
    """Hash of the phases: a checkpoint of other ones is refused."""
    phase_index: int = 0
    step: int = 0
    """Steps done in this phase."""
    metrics: list[Metric] = field(default_factory=list)

    @classmethod
    def start(cls, phases: Sequence[CodecPhase]) -> "TrainingState":
        """Before the first step of the first phase."""
        return cls(identity=hash_json([phase.to_dict() for phase in phases]))


def save_state(
    folder: Path,
    codec: ReasoningCodec,
    teacher: nn.Module,
    optimizer: Optimizer,
    parameters: dict[str, nn.Parameter],
    state: TrainingState,
) -> None:
    """Write the folder; it appears whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    codec.save(partial)
    save_file(_cpu_tensors(teacher.state_dict()), partial / TEACHER_FILE)
    moments = {
        f"{name}.{key}": value
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
    save_file(_cpu_tensors(moments), partial / OPTIMIZER_FILE)
    (partial / STATE_FILE).write_text(json.dumps(asdict(state), sort_keys=True), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def load_state(folder: Path, phases: Sequence[CodecPhase]) -> TrainingState:
    """Where the run that wrote `folder` was; a run of other phases is a `UsageError`."""
    path = folder / STATE_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        state = TrainingState(**{**values, "metrics": [Metric(**metric) for metric in values["metrics"]]})
    except (OSError, json.JSONDecodeError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not the state of codec training ({error}).") from error
    if state.identity != TrainingState.start(phases).identity:
        raise UsageError(f"`resume_from` must be a checkpoint of these phases, but {folder} is of others.")
    return state


def restore(
    folder: Path, codec: ReasoningCodec, teacher: nn.Module, optimizer: Optimizer, parameters: dict[str, nn.Parameter]
) -> None:
    """Load the tensors of a checkpoint into codec, teacher and optimizer; a `UsageError` where its codec has another config,
    which tensors alone may not show."""
    try:
        config = CodecConfig.from_json((folder / CONFIG_FILE).read_bytes(), name=str(folder / CONFIG_FILE))
        if config != codec.config:
            raise UsageError(f"`resume_from` must be a checkpoint of this codec, but {folder} is of another config.")
        codec.load_state_dict(load_file(folder / WEIGHTS_FILE))
        teacher.load_state_dict(load_file(folder / TEACHER_FILE))
        moments = load_file(folder / OPTIMIZER_FILE)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{folder}: not a checkpoint of this codec: {error}") from error
    for name, parameter in parameters.items():
        found = {key.rpartition(".")[2]: value for key, value in moments.items() if key.rpartition(".")[0] == name}
        # AdamW keeps its step count on the CPU and the moments beside the parameter.
        optimizer.state[parameter] = {
            key: value if key == "step" else value.to(parameter.device) for key, value in found.items()
        }


def _cpu_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
