"""Which modules of the language model learn."""

from torch import nn
from uniaudio_schemas.errors import UsageError


def freeze_all_but(model: nn.Module, trains: tuple[str, ...]) -> dict[str, nn.Parameter]:
    """Let the modules in `trains` learn and freeze the rest (no gradient, eval mode); returns what learns, by name."""
    modules = {name.split(".")[0] for name, _ in model.named_parameters()} | {
        name for name, _ in model.named_children()
    }
    if unknown := sorted(set(trains) - modules):
        raise UsageError(
            f"`trains` must name modules of the model ({', '.join(sorted(modules))}), but has {', '.join(unknown)}."
        )
    set_train_mode(model, trains)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".")[0] in trains)
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def set_train_mode(model: nn.Module, trains: tuple[str, ...]) -> None:
    """Train mode for what learns, eval mode for the rest."""
    model.train()
    for name, child in model.named_children():
        child.train(name in trains)
