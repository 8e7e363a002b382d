"""Train a codec, phase after phase. START HERE: `train_codec`.

A step is a function of the weights, the phase and its number alone: its batch and every random draw come from (seed, phase,
step). So a checkpoint needs weights, optimizer and step.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.fingerprint import hash_json
from uniaudio_schemas.kinds.codec import Metric

from uniaudio.codec.codebook import Codebook
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.flow import FlowBlock
from uniaudio.codec.query_transformer import QueryBlock
from uniaudio.codec.text_policy import TextPolicy
from uniaudio.products import EveryLinear
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.checkpoint import TrainingState, load_state
from uniaudio.training.codec.audio import digest_of
from uniaudio.training.codec.clips import ClipSet, FrozenCache, TrainingClip, step_generator
from uniaudio.training.codec.objective import Losses, PhaseLosses, places
from uniaudio.training.codec.objectives import build_losses, check_run
from uniaudio.training.codec.stream import Feed
from uniaudio.training.optim import ParameterGroup
from uniaudio.training.processes import Processes, reproducible
from uniaudio.training.run import HELD_OUT_LOSS, Listeners, train

log = logging.getLogger(__name__)
NOBODY = Listeners()
HELD_OUT_GAIN = "held_out_gain"


def identity_of(phases: Sequence[CodecPhase], clips: Sequence[TrainingClip], held_out: Sequence[TrainingClip]) -> str:
    """Hash of everything that decides the run but the codec it starts from, and but the number of ranks, which moves roundings
    alone: a checkpoint of another run is refused."""
    sets = [[_clip_hash(clip) for clip in some_clips] for some_clips in (clips, held_out)]
    return hash_json([[phase.to_dict() for phase in phases], *sets])


def _clip_hash(clip: TrainingClip) -> str:
    return hash_json([digest_of(clip.samples), str(clip.samples.dtype), clip.text, asdict(clip.facts)])


def train_codec(
    codec: ReasoningCodec,
    phases: Sequence[CodecPhase],
    clips: Sequence[TrainingClip],
    held_out: Sequence[TrainingClip],
    *,
    resume_from: Path | None = None,
    listeners: Listeners = NOBODY,
) -> list[Metric]:
    """Train `codec` in place through `phases`; returns the curves. `resume_from` is a folder that a checkpoint was saved to.
    A part that the codec lacks is a `UsageError`; clips that are empty or not finite are named in one."""
    check_run(codec, phases, clips, held_out)
    _check_ranks(phases, Processes.current().world_size)
    identity = identity_of(phases, clips, held_out)
    state = TrainingState(identity=identity, part=phases[0].name) if phases else None
    if resume_from is not None:
        state = load_state(resume_from, identity)
    if state is None:
        return []
    features = FrozenCache()
    train_set, test_set = ClipSet(codec, clips, features), ClipSet(codec, held_out, features)
    teacher: nn.Module | None = None
    while True:
        phase = phases[state.part_index]
        with reproducible(phase.num_threads, deterministic=phase.deterministic), EveryLinear():
            torch.manual_seed(phase.seed)  # of the teacher's first weights
            objective = PhaseObjective(codec, phase, build_losses(codec, phase, train_set, test_set, teacher))
            resumes = resume_from if state.step > 0 else None
            state = train(objective, phase, state, listeners, hold_out_every=phase.log_every, resume_from=resumes)
        teacher = objective.teacher
        if phase.name == "encoders":
            features.clear()
        if state.part_index == len(phases) - 1:
            break
        state.next_part(phases[state.part_index + 1].name)
    codec.requires_grad_(False).eval()
    return [Metric(phase=one.part, step=one.step, name=one.name, value=one.value) for one in state.points]


def _check_ranks(phases: Sequence[CodecPhase], world_size: int) -> None:
    for phase in phases:
        if phase.num_clips < world_size:
            raise UsageError(
                f"`num_clips` of phase `{phase.name}` must be at least the number of ranks ({world_size}), "
                f"but is {phase.num_clips}."
            )


class PhaseObjective:
    """One phase as the training loop sees it; puts its parts in train mode and freezes all others, moving averages and
    statistics included."""

    is_sharded = False

    def __init__(self, codec: ReasoningCodec, phase: CodecPhase, losses: PhaseLosses) -> None:
        self.codec, self.phase, self._losses = codec, phase, losses
        self.teacher = losses.teacher.train()
        self.processes = Processes.current()
        # A text decoder that is the codec's own is saved once.
        owned = {"codec": codec} if self.teacher is codec.text else {"codec": codec, "teacher": self.teacher}
        self.modules = nn.ModuleDict(owned)
        codec.requires_grad_(False).eval()
        for module in self._trained_modules():
            module.requires_grad_(True).train()
        for name, parameter in codec.named_parameters():
            parameter.requires_grad_(parameter.requires_grad or name in phase.trains)
        # A text decoder may be the codec's own.
        self._taught = {id(parameter) for parameter in self.teacher.parameters()} & set(map(id, codec.parameters()))
        for parameter in codec.parameters():
            parameter.requires_grad_(parameter.requires_grad or id(parameter) in self._taught)
        for module in self.modules.modules():
            if isinstance(module, QueryBlock | FlowBlock | TextPolicy):
                module.recomputation = phase.recompute
        self._values: dict[str, Tensor] = {}
        self._feed = Feed(losses, phase, self.processes, codec.device)

    def described(self) -> dict[str, Any]:
        return {"codec": self.codec.config.to_dict()}

    def groups(self) -> list[ParameterGroup]:
        """Codec and teacher learn at rates of their own; where they play against each other, each is bounded alone."""
        plays = self.phase.adversarial.weight > 0
        groups = []
        owners: list[tuple[str, nn.Module, float]] = [
            ("codec", self.codec, self.phase.codec_rate),
            ("teacher", self.teacher, 1.0),
        ]
        for owner, module, rate in owners:
            parameters = {
                f"{owner}.{name}": one
                for name, one in module.named_parameters()
                if one.requires_grad and (owner == "teacher" or id(one) not in self._taught)
            }
            groups.append(ParameterGroup(parameters=parameters, rate=rate, bound=owner if plays else ""))
        return groups

    def losses(self, step: int) -> Iterator[Tensor]:
        self._feed.reach(step)
        # For the draws inside the codebooks: k-means and the revival of dead codes.
        torch.manual_seed(int(step_generator(self.phase.seed, self.phase.name, -2 - step).integers(2**31)))
        mine, self._values = places(self.phase.num_clips, self.processes, self.phase.micro_clips), {}
        # All passes search the same codes, which then move by the frames of all.
        held = [one for one in self.codec.modules() if isinstance(one, Codebook) and one.training and len(mine) > 1]
        for codebook in held:
            codebook.hold()
        for losses in self._passes(step):
            self._values = {name: self._values.get(name, 0.0) + value.detach() for name, value in losses.items()}
            # Each rank's loss is the mean of its share.
            yield losses["loss"] / self.processes.world_size
        for codebook in held:
            codebook.settle()

    def _passes(self, step: int) -> Iterator[Losses]:
        """Those of the phase, each computed in its precision; what is between them, the backward pass, is not."""
        passes, is_half = self._losses.passes(step, self.processes), self.phase.precision == "bfloat16"
        while True:
            with torch.autocast(self.codec.device.type, torch.bfloat16, enabled=is_half):
                losses = next(passes, None)
            if losses is None:
                return
            yield losses

    def values(self) -> dict[str, float]:
        return {name: float(value) for name, value in self._values.items()}

    def gauges(self) -> dict[str, float]:
        return self._feed.gauges()

    def finish_step(self) -> None:
        """Batch statistics of what trains become the same on all ranks: each saw its own share of the batch."""
        if self.processes.world_size == 1:
            return
        for part in self._trained_modules():
            for module in part.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    for buffer in (module.running_mean, module.running_var):
                        if buffer is not None:
                            self.processes.sum(buffer).div_(self.processes.world_size)

    def held_out(self, step: int) -> Mapping[str, float]:
        parts = [*self._trained_modules(), self.teacher]
        for part in parts:
            part.eval()
        # The codebooks are where the step before left them: not placed yet at the first step that uses them.
        held_out = self._losses.held_out(max(step - 1, 0))
        for part in parts:
            part.train()
        log.info("%s step %d of %d: held-out loss %.4f", self.phase.name, step, self.phase.num_steps, held_out.loss)
        gain = {} if held_out.gain is None else {HELD_OUT_GAIN: held_out.gain}
        return {HELD_OUT_LOSS: held_out.loss, **gain}

    def position(self) -> dict[str, Any]:
        """Empty: the step alone tells the position."""
        return {}

    def restore(self, position: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...

    def _trained_modules(self) -> list[nn.Module]:
        parameters = {name for name, _ in self.codec.named_parameters()}
        return [self.codec.get_submodule(part) for part in self.phase.trains if part not in parameters]
