"""A training checkpoint: a folder that a run goes on from, on as many ranks as it finds, in formats anybody can read.

Holds   shard-<rank>-….safetensors   what the rank keeps: `modules.<module>.<tensor>`, `optimizer.<parameter>.<state>`
        state.json                   part, step, data position, curves so far; written last: with it the folder is whole

torch's distributed checkpoint in its safetensors form: no pickle, and each rank reads the slices that it needs. A step waits
for a copy in memory at most (`Checkpoint.copied`), which another thread writes.
"""

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.optim import Optimizer
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.plain import from_json

from uniaudio.training.processes import Processes

STATE_FILE = "state.json"
SHARDS = "shard-*.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point of a curve."""

    part: str
    """Stage or phase."""
    step: int
    name: str
    value: float


@dataclass(kw_only=True, slots=True)
class TrainingState:
    """Everything but tensors."""

    identity: str
    """Hash of what is trained on what, in which order: a checkpoint of another run is refused. The number of ranks is not
    part of it."""
    part: str
    """Stage, or phase of the codec."""
    part_index: int = 0
    step: int = 0
    """Optimizer steps done in this part, skipped ones included."""
    skipped: list[int] = field(default_factory=list)
    """Steps of this part whose gradient was not finite, or that had no target."""
    num_rollbacks: int = 0
    """Times this part went back to a checkpoint."""
    recent_losses: list[float] = field(default_factory=list)
    """Losses of the last steps that were not skipped. Spikes are measured against them."""
    position: dict[str, Any] = field(default_factory=dict)
    """Position in the data."""
    points: list[Point] = field(default_factory=list)
    world_size: int = 1
    """Number of ranks that wrote the checkpoint."""
    steps_by_world_size: dict[str, int] = field(default_factory=dict)
    """Number of ranks -> steps done with so many, over all parts: `{"4": 1200, "2": 300}` where workers left."""

    @property
    def num_skipped(self) -> int:
        return len(self.skipped)

    def note(self, values: Mapping[str, float]) -> None:
        """What is no number, as of a step that is skipped, is no point: JSON has no word for it."""
        self.points += [
            Point(part=self.part, step=self.step, name=name, value=value)
            for name, value in values.items()
            if math.isfinite(value)
        ]

    def next_part(self, part: str) -> None:
        """Move to before the first step of `part`. The curves stay."""
        self.part, self.part_index, self.step = part, self.part_index + 1, 0
        self.skipped, self.position, self.num_rollbacks, self.recent_losses = [], {}, 0, []


@dataclass(frozen=True, kw_only=True, slots=True)
class _SavedState:
    """What the file holds: the state, and what the modules were."""

    state: TrainingState
    described: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a folder is to hold: `checkpoint(folder)` writes this rank's files. All ranks must make it, and all must write it."""

    tensors: Mapping[str, Tensor]
    """The tensors that train themselves, or copies of them after `copied`."""
    state: str
    """`state.json`."""
    stager: DefaultStager
    group: ProcessGroup | None
    """Process group in which the ranks talk while they write; None for one rank alone."""

    @classmethod
    def of(
        cls,
        modules: nn.ModuleDict,
        optimizer: Optimizer,
        parameters: Mapping[str, nn.Parameter],
        state: TrainingState,
        described: Mapping[str, Any],
        stager: DefaultStager | None = None,
    ) -> "Checkpoint":
        """`stager`: keeps the memory of one copy for the next."""
        processes = Processes.current()
        state.world_size = processes.world_size
        text = json.dumps({"state": asdict(state), "described": dict(described)}, indent=1, sort_keys=True)
        return cls(
            tensors={**_module_tensors(modules), **_optimizer_tensors(optimizer, parameters)},
            state=text + "\n",
            stager=stager or new_stager(),
            group=processes.beside(),
        )

    def copied(self) -> "Checkpoint":
        """A copy in memory of its own, which later steps do not touch and another thread may write to disk. The next copy of the run
        overwrites it, so it must be on disk by then."""
        copied = self.stager.stage(dict(self.tensors))
        assert isinstance(copied, dict), "it copies at once"
        return replace(self, tensors=copied)

    def __call__(self, folder: Path) -> None:
        """Write this rank's files into `folder`, which all ranks of a machine may share."""
        is_first = self.group is None or self.group.rank() == 0
        folder.mkdir(parents=True, exist_ok=True)
        if is_first:
            # No rank writes before the first has planned with it: what an earlier save left here goes, the state first.
            for path in (folder / STATE_FILE, *folder.glob(SHARDS)):
                path.unlink(missing_ok=True)
        with _without_process_group_warning():
            dcp.save(
                dict(self.tensors),
                storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
                process_group=self.group,
                no_dist=self.group is None,
            )
        if is_first:
            (folder / STATE_FILE).write_text(self.state, encoding="utf-8")

    def wait_for_all(self) -> None:
        """Block the writing thread until all ranks are here."""
        if self.group is not None:
            distributed.barrier(self.group)


def new_stager() -> DefaultStager:
    """Copies of a run, in the memory of the one before: fresh memory took six times as long."""
    return DefaultStager(
        StagingOptions(
            use_pinned_memory=torch.cuda.is_available(),
            use_shared_memory=False,
            use_async_staging=False,
            use_non_blocking_copy=False,
        )
    )


def load_state(folder: Path, identity: str) -> TrainingState:
    """Where the run that wrote `folder` was; another run's is a `UsageError`."""
    return _read_state(folder, identity).state


def load_checkpoint(
    folder: Path,
    modules: nn.ModuleDict,
    optimizer: Optimizer,
    parameters: Mapping[str, nn.Parameter],
    identity: str,
    described: Mapping[str, Any],
) -> TrainingState:
    """Load a folder that a `Checkpoint` was written to, on any number of ranks, into modules and optimizer. All ranks must call it."""
    saved = _read_state(folder, identity)
    if saved.described != json.loads(json.dumps(dict(described))):
        raise UsageError(f"`resume_from` must be a checkpoint of this model, but {folder} is of another config.")
    tensors = _module_tensors(modules)
    with _one_line(folder), _without_process_group_warning():
        reader = HuggingFaceStorageReader(str(folder))
        metadata = reader.read_metadata().state_dict_metadata
        optimizer.state.clear()
        for name, parameter in parameters.items():
            state_keys = {
                key.rpartition(".")[2]: key for key in metadata if key.rpartition(".")[0] == f"optimizer.{name}"
            }
            if state_keys:
                optimizer.state[parameter] = {key: _empty_state(key, parameter) for key in state_keys}
        tensors |= _optimizer_tensors(optimizer, parameters)
        _check_shapes(folder, tensors, metadata)
        dcp.load(tensors, storage_reader=reader, no_dist=Processes.current().world_size == 1)
    return saved.state


def _read_state(folder: Path, identity: str) -> _SavedState:
    path = folder / STATE_FILE
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: not the state of a training checkpoint ({error}).") from error
    saved = from_json(_SavedState, text, str(path))
    if saved.state.identity != identity:
        raise UsageError(
            f"`resume_from` must be a checkpoint of this stage, data and seed, but {folder} is of another run."
        )
    return saved


def _module_tensors(modules: nn.ModuleDict) -> dict[str, Tensor]:
    return {f"modules.{name}": tensor.detach() for name, tensor in modules.state_dict().items()}


def _optimizer_tensors(optimizer: Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {
        f"optimizer.{name}.{key}": value
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _empty_state(key: str, parameter: nn.Parameter) -> Tensor:
    """AdamW keeps its moments beside the parameter and its count of steps as one number, on the CPU unless it is fused."""
    if key != "step":
        return torch.zeros_like(parameter, requires_grad=False)
    return torch.zeros((), device=parameter.device if parameter.device.type == "cuda" else "cpu")


def _check_shapes(folder: Path, tensors: Mapping[str, Tensor], found: Mapping[str, Any]) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    actual = {name: tuple(metadata.size) for name, metadata in found.items()}
    if expected != actual:
        differing = sorted(name for name in {*expected, *actual} if expected.get(name) != actual.get(name))
        raise DataError(f"{folder}: must hold the model's tensors, but differs in {', '.join(differing[:5])}.")
    # What no file holds would be left as it was, and of what two hold either might be taken.
    volumes = {name: sum(chunk.sizes.numel() for chunk in metadata.chunks) for name, metadata in found.items()}
    if partial := sorted(name for name, tensor in tensors.items() if volumes[name] != tensor.numel()):
        raise DataError(f"{folder}: must hold each tensor whole and once, but holds parts of {', '.join(partial[:5])}.")


@contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, CheckpointException, RuntimeError, KeyError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        torn = ", ".join(path.name for path in sorted(folder.glob(SHARDS)) if not _is_whole(path))
        raise DataError(f"{folder}: not a training checkpoint: {torn or first}.") from error


def _is_whole(path: Path) -> bool:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False


@contextmanager
def _without_process_group_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
