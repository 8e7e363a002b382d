"""Which parameters learn, and how fast: freezing, AdamW with decay on all but norms, linear warm-up and cosine."""

import math

from torch import Tensor, nn
from torch.optim import AdamW
from uniaudio_schemas.errors import UsageError

from uniaudio.stages.config import StageConfig


def freeze_all_but(model: nn.Module, trains: tuple[str, ...]) -> dict[str, nn.Parameter]:
    """Let the modules in `trains` learn and freeze the rest (no gradient, eval mode); returns what learns, by name."""
    model.train()
    known = {name.split(".")[0] for name, _ in model.named_parameters()} | {name for name, _ in model.named_children()}
    if missing := sorted(set(trains) - known):
        raise UsageError(
            f"`trains` must name modules of the model ({', '.join(sorted(known))}), but has {', '.join(missing)}."
        )
    for name, child in model.named_children():
        child.train(name in trains)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".")[0] in trains)
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def make_optimizer(parameters: dict[str, nn.Parameter], stage: StageConfig) -> AdamW:
    """AdamW; parameters with `norm` in their name are not decayed (as the authors' predecessor script did)."""
    decayed: list[Tensor] = [parameter for name, parameter in parameters.items() if "norm" not in name]
    not_decayed: list[Tensor] = [parameter for name, parameter in parameters.items() if "norm" in name]
    groups = [{"params": decayed, "weight_decay": stage.weight_decay}, {"params": not_decayed, "weight_decay": 0.0}]
    return AdamW([group for group in groups if group["params"]], lr=stage.learning_rate, betas=stage.betas)


def learning_rate(step: int, stage: StageConfig) -> float:
    """Of step `step` (from 0): linear over the first `warmup_share` of the stage, then cosine to 0 at its end."""
    num_warmup = max(1, round(stage.warmup_share * stage.num_steps))
    if step < num_warmup:
        return stage.learning_rate * (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, stage.num_steps - num_warmup)
    return stage.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
