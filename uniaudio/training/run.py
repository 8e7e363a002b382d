"""The training loop of everything that learns here. START HERE: `train`.

    hold out -> step -> log -> checkpoint -> …        one part: a stage of the language model, a phase of the codec

Same data, part, seed and kind of machine: the same weights, bit for bit, however often the run was killed and resumed; on
another number of ranks the same order of examples, and the same losses but for rounding.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from uniaudio_schemas.errors import TrainingError

from uniaudio.stages.schedule import SKIP_WINDOW, Schedule
from uniaudio.training.checkpoint import Checkpoint, TrainingState, load_checkpoint, new_stager
from uniaudio.training.objective import Objective
from uniaudio.training.optim import (
    clip_gradients,
    learning_rate,
    make_optimizer,
    set_learning_rate,
    zero_missing_gradients,
)
from uniaudio.training.processes import Processes

log = logging.getLogger(__name__)

OnCheckpoint = Callable[[TrainingState, Checkpoint], None]
"""Called on every rank with where training is and with what saves it: `save(folder)` at once, `save.copied()` for a thread to
write. All ranks must do the same, since they write one checkpoint together."""
OnHeldOut = Callable[[str, int, Mapping[str, float]], None]
"""Called on every rank with part, step and held-out losses."""


HELD_OUT_LOSS = "held_out_loss"
"""Begins the names of held-out losses; where there are several, a task follows."""
_SHOWN_GAUGES = ("steps_per_second", "tokens_per_second")


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Progress of a part of training."""

    part: str
    step: int
    num_steps: int
    values: Mapping[str, float]
    """Values that depend on data and weights alone."""
    gauges: Mapping[str, float]
    """Values that differ from run to run: speed, waiting, memory."""

    def line(self) -> str:
        """`stage1 40/120 steps, loss 3.21, …`: for people and for grep."""
        numbers = {**self.values, **{name: value for name, value in self.gauges.items() if name in _SHOWN_GAUGES}}
        values = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        return f"{self.part} {self.step}/{self.num_steps} steps, {values}"


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listeners:
    """Who is told of a run while it lasts, and how much; none of it moves a weight."""

    on_checkpoint: OnCheckpoint | None = None
    on_progress: OnProgress | None = None
    """Called on every rank after every step."""
    on_held_out: OnHeldOut | None = None
    """Called after `on_progress` of the same step, if it has one."""
    on_end: Callable[[TrainingState], None] | None = None
    """Called on every rank when a part has ended, also where it had before it was resumed."""
    hold_out_every: int = 0
    """Steps between two held-out losses; 0 leaves it to the part."""
    checkpoint_every: int = 0
    """Steps between two checkpoints; 0 leaves it to the part."""
    last_checkpoint: Callable[[], AbstractContextManager[Path | None]] = nullcontext
    """The folder of the last checkpoint that was kept, on every rank; None where there is none."""


@dataclass(kw_only=True)
class _Run:
    """One part under way."""

    objective: Objective
    schedule: Schedule
    state: TrainingState
    listeners: Listeners
    processes: Processes = field(default_factory=Processes.current)

    def __post_init__(self) -> None:
        self.groups = self.objective.groups()
        self.parameters = {name: one for group in self.groups for name, one in group.parameters.items()}
        self.optimizer = make_optimizer(self.groups, self.schedule)
        self.stager = new_stager()

    def resume(self, folder: Path) -> None:
        self.state = load_checkpoint(
            folder,
            self.objective.modules,
            self.optimizer,
            self.parameters,
            self.state.identity,
            self.objective.described(),
        )
        self.objective.restore(self.state.position)
        log.info("%s resumes at step %d", self.state.part, self.state.step)

    def count_step(self) -> None:
        self.state.step += 1
        self.state.position = self.objective.position()
        ranks, counts = str(self.processes.world_size), self.state.steps_by_world_size
        counts[ranks] = counts.get(ranks, 0) + 1

    def checkpoint(self) -> Checkpoint:
        return Checkpoint.of(
            self.objective.modules,
            self.optimizer,
            self.parameters,
            self.state,
            self.objective.described(),
            self.stager,
        )


def train(
    objective: Objective,
    schedule: Schedule,
    state: TrainingState,
    listeners: Listeners,
    *,
    hold_out_every: int,
    resume_from: Path | None = None,
) -> TrainingState:
    """Train one part to its end, from its start or from the folder `resume_from`; the state it ends in.

    Held-out curves have a point at every `hold_out_every`-th step, unless `listeners` say another number, and at the end.
    `TrainingError` where more steps are skipped than the schedule allows.
    """
    run = _Run(objective=objective, schedule=schedule, state=state, listeners=listeners)
    if resume_from is not None:
        run.resume(resume_from)
    hold_out_every = listeners.hold_out_every or hold_out_every
    checkpoint_every = listeners.checkpoint_every or schedule.checkpoint_every
    started, first_step = time.monotonic(), run.state.step
    if run.state.step == 0:
        _hold_out(run)
    while run.state.step < schedule.num_steps:
        values = _step(run)
        if values is None:
            continue
        run.count_step()
        is_last = run.state.step == schedule.num_steps
        is_logged = run.state.step == 1 or run.state.step % schedule.log_every == 0 or is_last
        if is_logged:
            run.state.note(values)
        speed = (run.state.step - first_step) / max(time.monotonic() - started, 1e-9)
        _tell(run, values, {"steps_per_second": speed, **objective.gauges()}, is_logged=is_logged)
        if run.state.step % hold_out_every == 0 or is_last:
            _hold_out(run)
        if listeners.on_checkpoint is not None and (run.state.step % checkpoint_every == 0 or is_last):
            listeners.on_checkpoint(run.state, run.checkpoint())
    if listeners.on_end is not None:
        listeners.on_end(run.state)
    return run.state


def _hold_out(run: _Run) -> None:
    losses = run.objective.held_out(run.state.step)
    run.state.note(losses)
    if run.listeners.on_held_out is not None:
        run.listeners.on_held_out(run.state.part, run.state.step, losses)


def _step(run: _Run) -> dict[str, float] | None:
    """One optimizer step; its values, or None where the run went back instead."""
    objective, schedule, step = run.objective, run.schedule, run.state.step
    rate = learning_rate(step, schedule)
    set_learning_rate(run.optimizer, rate)
    run.optimizer.zero_grad(set_to_none=True)
    has_target = False
    for loss in objective.losses(step):
        has_target = True
        if loss.requires_grad:
            loss.backward()
    zero_missing_gradients(run.groups)
    if not objective.is_sharded:
        run.processes.sum_gradients(run.parameters.values())
    norm = clip_gradients(run.groups, schedule.max_gradient_norm)
    reason = _unusable(run, norm) if has_target else "it has no target"
    if not reason:
        run.optimizer.step()
        objective.finish_step()
    elif not _skip(run, reason):
        return None
    return {**objective.values(), "gradient_norm": norm, "learning_rate": rate, "num_skipped": run.state.num_skipped}


def _unusable(run: _Run, norm: float) -> str:
    """Why the step must not move the weights; empty where it may."""
    state, ratio = run.state, run.schedule.spike_ratio
    if not math.isfinite(norm):
        return f"its gradient has the norm {norm}"
    if ratio:
        loss, before = run.objective.values()["loss"], state.recent_losses
        if len(before) == SKIP_WINDOW and loss > ratio * median(before):
            return f"its loss is {loss:.4g}, and the median of those before it {median(before):.4g}"
        state.recent_losses = [*before, loss][-SKIP_WINDOW:]
    return ""


def _skip(run: _Run, reason: str) -> bool:
    """Count a step that moves nothing; False where the run went back, an error where there are too many of them."""
    state, schedule = run.state, run.schedule
    state.skipped.append(state.step)
    log.warning("%s step %d skipped: %s", state.part, state.step, reason)
    num_recent = sum(step > state.step - SKIP_WINDOW for step in state.skipped)
    if num_recent <= schedule.max_skipped:
        return True
    if state.num_rollbacks < schedule.max_rollbacks and _roll_back(run):
        return False
    raise TrainingError(
        f"{state.part} stops at step {state.step}: {reason}, and {num_recent} of the last "
        f"{min(SKIP_WINDOW, state.step + 1)} steps were skipped, more than `max_skipped` ({schedule.max_skipped})."
    )


def _roll_back(run: _Run) -> bool:
    """Weights and optimizer of the last checkpoint, and the data that comes next; False where there is no checkpoint."""
    num_rollbacks, position = run.state.num_rollbacks, run.objective.position()
    with run.listeners.last_checkpoint() as folder:
        if folder is None:
            return False
        run.resume(folder)
    run.objective.restore(position)
    run.state.num_rollbacks, run.state.position = num_rollbacks + 1, position
    log.warning("%s goes back to step %d, and on with other data", run.state.part, run.state.step)
    return True


def _tell(run: _Run, values: Mapping[str, float], gauges: Mapping[str, float], *, is_logged: bool) -> None:
    state, num_steps = run.state, run.schedule.num_steps
    progress = Progress(part=state.part, step=state.step, num_steps=num_steps, values=values, gauges=gauges)
    if is_logged:
        log.info("%s", progress.line())
    if run.listeners.on_progress is not None:
        run.listeners.on_progress(progress)
