"""Train a codec, phase after phase: one loop for all of them. START HERE: `train_codec`.

A step is a function of the weights, the phase and its number alone: its batch and every random draw come from (seed,
phase, step). So a checkpoint needs weights, optimizer and step, and a run that was killed goes on bit for bit on a CPU.
Several processes (torch.distributed initialized) share a step's batch and average their gradients.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from uniaudio_schemas.kinds.codec import Metric

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.products import EveryLinear
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import ClipSet, FrozenCache, TrainingClip, step_generator
from uniaudio.training.codec.objective import Objective
from uniaudio.training.codec.objectives import build_objective, check_run
from uniaudio.training.codec.state import TrainingState, load_state, restore, save_state

log = logging.getLogger(__name__)

OnCheckpoint = Callable[[TrainingState, Callable[[Path], None]], None]
"""Called with where training is and with a function that saves it to a folder; on every worker."""
OnStep = Callable[[TrainingState], None]
"""Called after every step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerShare:
    """This worker's part of each batch."""

    rank: int = 0
    world_size: int = 1


@dataclass(kw_only=True)
class _Run:
    """One phase under way."""

    codec: ReasoningCodec
    phase: CodecPhase
    objective: Objective
    state: TrainingState
    share: WorkerShare
    on_checkpoint: OnCheckpoint | None
    on_step: OnStep | None
    parameters: dict[str, nn.Parameter] = field(init=False)
    optimizer: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = _trainable(self.codec, self.phase, self.objective.teacher)
        self.optimizer = _optimizer(self.parameters, self.phase)

    def save(self, folder: Path) -> None:
        save_state(folder, self.codec, self.objective.teacher, self.optimizer, self.parameters, self.state)


def train_codec(
    codec: ReasoningCodec,
    phases: Sequence[CodecPhase],
    clips: Sequence[TrainingClip],
    held_out: Sequence[TrainingClip],
    *,
    resume_from: Path | None = None,
    on_checkpoint: OnCheckpoint | None = None,
    on_step: OnStep | None = None,
) -> list[Metric]:
    """Train `codec` in place through `phases`; returns the curves. `resume_from` is a folder that `on_checkpoint`
    saved. A part that the codec lacks is a `UsageError`; clips that are empty or not finite are named in one."""
    check_run(codec, phases, clips, held_out)
    state = load_state(resume_from, phases) if resume_from else TrainingState.start(phases)
    features = FrozenCache()
    train, test = ClipSet(codec, clips, features), ClipSet(codec, held_out, features)
    teacher: nn.Module | None = None
    for index in range(state.phase_index, len(phases)):
        resumes = resume_from if index == state.phase_index and state.step > 0 else None
        state.phase_index = index
        with _reproducible(phases[index].num_threads):
            torch.manual_seed(phases[index].seed)  # of the teacher's first weights
            objective = build_objective(codec, phases[index], train, test, teacher)
            run = _Run(
                codec=codec,
                phase=phases[index],
                objective=objective,
                state=state,
                share=_worker_share(),
                on_checkpoint=on_checkpoint,
                on_step=on_step,
            )
            _train_phase(run, resumes)
        state.step, teacher = 0, objective.teacher
        if phases[index].name == "encoders":
            features.clear()
    codec.requires_grad_(False).eval()
    return state.metrics


def train_codec_phase(
    codec: ReasoningCodec,
    phase: CodecPhase,
    clips: Sequence[TrainingClip],
    held_out: Sequence[TrainingClip],
    *,
    resume_from: Path | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> list[Metric]:
    """Train one phase."""
    return train_codec(codec, [phase], clips, held_out, resume_from=resume_from, on_checkpoint=on_checkpoint)


def _train_phase(run: _Run, resume_from: Path | None) -> None:
    state, phase = run.state, run.phase
    if resume_from:
        restore(resume_from, run.codec, run.objective.teacher, run.optimizer, run.parameters)
    while state.step < phase.num_steps:
        if state.step % phase.log_every == 0:
            _log_held_out(run)
        losses = _step(run)
        state.step += 1
        last = state.step == phase.num_steps
        if last or state.step % phase.log_every == 0:
            state.metrics += [_metric(run, name, float(value.detach())) for name, value in losses.items()]
        if last:
            _log_held_out(run)
        if run.on_step:
            run.on_step(state)
        if run.on_checkpoint and (last or state.step % phase.checkpoint_every == 0):
            run.on_checkpoint(state, run.save)


def _step(run: _Run) -> dict[str, Tensor]:
    """One optimizer step; a gradient that is not finite stops training, since a codec cannot be trusted after it."""
    phase, step = run.phase, run.state.step
    # For the draws inside the codebooks: k-means and the revival of dead codes.
    torch.manual_seed(int(step_generator(phase.seed, phase.name, -2 - step).integers(2**31)))
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(step, phase) * group["rate"]
    run.optimizer.zero_grad(set_to_none=True)
    losses = run.objective.losses(step, run.share)
    losses["loss"].backward()
    gradients = [parameter.grad for parameter in run.parameters.values() if parameter.grad is not None]
    _average(gradients, run.share)
    if not _clip(run):
        raise FloatingPointError(f"Phase {phase.name}, step {step}: the gradient is not finite.")
    run.optimizer.step()
    _average_statistics(run)
    return losses


def learning_rate(step: int, phase: CodecPhase) -> float:
    """Of step `step` (from 0): linear over the first `warmup_share`, then cosine to 0."""
    num_warmup = max(1, round(phase.warmup_share * phase.num_steps))
    if step < num_warmup:
        return phase.learning_rate * (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, phase.num_steps - num_warmup)
    return phase.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _trainable(codec: ReasoningCodec, phase: CodecPhase, teacher: nn.Module) -> dict[str, nn.Parameter]:
    """Put the phase's parts in train mode and freeze all others, moving averages and statistics included."""
    codec.requires_grad_(False).eval()
    for module in _trained_modules(codec, phase):
        module.requires_grad_(True).train()
    for name, parameter in codec.named_parameters():
        parameter.requires_grad_(parameter.requires_grad or name in phase.trains)
    named = [(f"codec.{name}", parameter) for name, parameter in codec.named_parameters()]
    named += [(f"teacher.{name}", parameter) for name, parameter in teacher.train().named_parameters()]
    return {name: parameter for name, parameter in named if parameter.requires_grad}


def _trained_modules(codec: ReasoningCodec, phase: CodecPhase) -> list[nn.Module]:
    parameters = {name for name, _ in codec.named_parameters()}
    return [codec.get_submodule(part) for part in phase.trains if part not in parameters]


def _optimizer(parameters: dict[str, nn.Parameter], phase: CodecPhase) -> torch.optim.AdamW:
    """AdamW; names with `norm` are not decayed, as in the released trainer."""
    groups = []
    for owner, rate in (("codec.", phase.codec_rate), ("teacher.", 1.0)):
        own = {name: parameter for name, parameter in parameters.items() if name.startswith(owner)}
        decayed = [parameter for name, parameter in own.items() if "norm" not in name]
        others = [parameter for name, parameter in own.items() if "norm" in name]
        groups.append({"params": decayed, "weight_decay": phase.weight_decay, "rate": rate})
        groups.append({"params": others, "weight_decay": 0.0, "rate": rate})
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=phase.learning_rate, betas=phase.betas)


def _clip(run: _Run) -> bool:
    """Bound the length of the gradient; False where it is not finite. Generator and discriminators, which play against
    each other, are bounded each on its own."""
    owners: tuple[str, ...] = ("codec.", "teacher.") if run.phase.adversarial.weight > 0 else ("",)
    finite = True
    for owner in owners:
        own = [parameter for name, parameter in run.parameters.items() if name.startswith(owner)]
        norm = nn.utils.clip_grad_norm_(own, run.phase.max_gradient_norm)
        finite = finite and bool(torch.isfinite(norm))
    return finite


def _average(gradients: list[Tensor], share: WorkerShare) -> None:
    """Mean over the workers, in one message."""
    if share.world_size == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= share.world_size
    pieces = flat.split([gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


def _average_statistics(run: _Run) -> None:
    """Batch statistics of what trains, the same on all workers: each saw its own share of the batch."""
    if run.share.world_size == 1:
        return
    for part in _trained_modules(run.codec, run.phase):
        for module in part.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                for buffer in (module.running_mean, module.running_var):
                    if buffer is not None:
                        dist.all_reduce(buffer)
                        buffer /= run.share.world_size


def _log_held_out(run: _Run) -> None:
    parts = [*_trained_modules(run.codec, run.phase), run.objective.teacher]
    for part in parts:
        part.eval()
    # The codebooks are where the step before left them: not placed yet at the first step that uses them.
    held_out = run.objective.held_out(max(run.state.step - 1, 0))
    for part in parts:
        part.train()
    run.state.metrics.append(_metric(run, "held_out_loss", held_out.loss))
    if held_out.gain is not None:
        run.state.metrics.append(_metric(run, "held_out_gain", held_out.gain))
    log.info("%s step %d of %d: held-out loss %.4f", run.phase.name, run.state.step, run.phase.num_steps, held_out.loss)


def _metric(run: _Run, name: str, value: float) -> Metric:
    return Metric(phase=run.phase.name, step=run.state.step, name=name, value=value)


def _worker_share() -> WorkerShare:
    if dist.is_available() and dist.is_initialized():
        return WorkerShare(rank=dist.get_rank(), world_size=dist.get_world_size())
    return WorkerShare()


@contextmanager
def _reproducible(num_threads: int) -> Iterator[None]:
    """A fixed number of CPU threads, deterministic algorithms and a random state of its own."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(num_threads)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]), EveryLinear():
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)
