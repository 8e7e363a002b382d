"""How parameters move: AdamW with decay on all but norms, linear warm-up and cosine, bounded gradients."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW

from uniaudio.stages.schedule import Schedule


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterGroup:
    """Parameters that learn at one rate."""

    parameters: Mapping[str, nn.Parameter]
    """Name -> parameter. One with `norm` in its name has no weight decay (as in the authors' predecessor script)."""
    rate: float = 1.0
    """Multiplies the learning rate."""
    bound: str = ""
    """The gradients of all groups of one bound are bounded as one vector."""


def make_optimizer(groups: Sequence[ParameterGroup], schedule: Schedule) -> AdamW:
    """One fused kernel a step on a device; on a CPU the plain one, whose bits do not depend on how vectors are cut."""
    options = []
    for group in groups:
        decayed = [parameter for name, parameter in group.parameters.items() if "norm" not in name]
        others = [parameter for name, parameter in group.parameters.items() if "norm" in name]
        options.append({"params": decayed, "weight_decay": schedule.weight_decay, "rate": group.rate})
        options.append({"params": others, "weight_decay": 0.0, "rate": group.rate})
    options = [option for option in options if option["params"]]
    on_device = all(one.device.type == "cuda" for group in groups for one in group.parameters.values())
    return AdamW(options, lr=schedule.learning_rate, betas=schedule.betas, fused=on_device or None)


def learning_rate(step: int, schedule: Schedule) -> float:
    """Learning rate of step `step` (from 0): linear warm-up over the first `warmup_share`, then cosine to 0 at the end."""
    num_warmup = max(1, round(schedule.warmup_share * schedule.num_steps))
    if step < num_warmup:
        return schedule.learning_rate * (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, schedule.num_steps - num_warmup)
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: AdamW, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]


def clip_gradients(groups: Sequence[ParameterGroup], max_norm: float) -> float:
    """Bound the gradients to `max_norm`, each bound alone; the length of all of them before, over all shards."""
    norms = []
    for bound in sorted({group.bound for group in groups}):
        bounded = [one for group in groups if group.bound == bound for one in group.parameters.values()]
        norm = nn.utils.clip_grad_norm_(bounded, max_norm)
        norms.append(float(norm.full_tensor() if isinstance(norm, DTensor) else norm))
    return norms[0] if len(norms) == 1 else math.hypot(*norms)


def zero_missing_gradients(groups: Sequence[ParameterGroup]) -> None:
    """A part without a target in this step has no gradient. With zeros it decays as every other, on every rank alike."""
    for group in groups:
        for parameter in group.parameters.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
