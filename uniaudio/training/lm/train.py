"""Train one stage of the language model. START HERE: `train_stage`."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from uniaudio.lm.model import UniAudioLM
from uniaudio.stages.config import PreferenceConfig, StageConfig
from uniaudio.training.checkpoint import TrainingState
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.distillation import CodecTeacher
from uniaudio.training.lm.metrics import HeldOut
from uniaudio.training.lm.objective import HELD_OUT, StageObjective
from uniaudio.training.lm.order import ledger_of, num_drawn_of
from uniaudio.training.lm.preference import PreferenceObjective
from uniaudio.training.processes import reproducible
from uniaudio.training.run import Listeners, train

NOBODY = Listeners()


@dataclass(frozen=True, kw_only=True, slots=True)
class StageResult:
    """What a finished stage leaves behind; the weights are in the model, each rank's share of them where it is sharded
    (`uniaudio.training.sharding.full_tensors`)."""

    state: TrainingState
    ledger: Mapping[str, Mapping[str, int]]
    """Mixture group -> examples, positions and loss positions trained on."""
    tasks: list[str]
    """Names of the tasks with an example among those."""
    num_drawn: int
    """Data position: examples drawn from the mixture."""
    held_out: Mapping[str, HeldOut]
    """Task -> held-out loss."""


def identity_of(stage: StageConfig, data: MixtureData) -> str:
    """Hash of everything that decides the run but the starting weights, and but the number of ranks, which moves roundings
    alone."""
    parts = [stage.to_dict(), data.order.key.hex(), data.vocabulary.fingerprint]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def train_stage(
    model: UniAudioLM,
    stage: StageConfig,
    data: MixtureData,
    *,
    teacher: CodecTeacher | None = None,
    device: str = "cpu",
    shard_over: int = 0,
    resume_from: Path | None = None,
    listeners: Listeners = NOBODY,
) -> StageResult:
    """Train `model` in place to the end of `stage`, from its start or from the folder `resume_from`.

    `teacher`: what the stage distils from, where it does. `shard_over`: ranks that share one copy of weights, gradients and
    optimizer; 0 is all of them, 1 gives each rank a copy of its own.
    """
    state = TrainingState(identity=identity_of(stage, data), part=stage.name)
    with reproducible(stage.num_threads, deterministic=stage.deterministic):
        objective: StageObjective
        if isinstance(stage, PreferenceConfig):
            objective = PreferenceObjective(model, stage, data, device=device, shard_over=shard_over)
        else:
            objective = StageObjective(model, stage, data, teacher=teacher, device=device, shard_over=shard_over)
        try:
            state = train(objective, stage, state, listeners, hold_out_every=stage.num_steps, resume_from=resume_from)
            if not objective.held_out_losses:
                # Resumed at the end, where the curves have it but not by recording.
                objective.held_out(state.step)
        finally:
            objective.close()
    before = {point.name.removeprefix(HELD_OUT): point.value for point in state.points if point.step == 0}
    return StageResult(
        state=state,
        ledger=ledger_of(state.position),
        tasks=data.trained_tasks(state.position),
        num_drawn=num_drawn_of(state.position),
        # What was no number then is no point.
        held_out={
            task: HeldOut.of(before.get(task, math.nan), losses, objective.chances[task])
            for task, losses in objective.held_out_losses.items()
        },
    )
