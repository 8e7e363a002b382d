"""Weights from scratch: a function of the seed and the config alone.

Normal with deviation 0.02, projections back into the residual stream scaled down by depth, norms at one; the text
head starts as a copy of the text embedding. The understanding expert's final norm starts at the deviation of the text
embedding, so that audio enters the backbone as loud as text.
"""

import math

import torch
from torch import nn
from uniaudio_schemas.errors import UsageError

from uniaudio.lm.sampling import MOST_SEED

WEIGHT_STD = 0.02
_RESIDUAL_OUTPUTS = ("attention.out.weight", "mlp.down.weight")


@torch.no_grad()
def initialize(model: nn.Module, seed: int) -> None:
    """Draws every parameter of a `UniAudioLM` in place."""
    if not -MOST_SEED <= seed < MOST_SEED:
        raise UsageError(f"`seed` must lie within ±2^63, but is {seed}.")
    generator = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        for short_name, parameter in module.named_parameters(recurse=False):
            _draw(f"{name}.{short_name}", parameter, _num_layers(model, name), generator)
    copy_text_embedding_to_head(model)
    match_audio_loudness_to_text(model)


@torch.no_grad()
def copy_text_embedding_to_head(model: nn.Module) -> None:
    """The tie at the start; the two part ways in training."""
    model.get_parameter("text_head.weight").copy_(model.get_parameter("text_embedding.weight"))


@torch.no_grad()
def match_audio_loudness_to_text(model: nn.Module) -> None:
    """Sets the understanding expert's final norm to the deviation of the text embedding."""
    parameters = dict(model.named_parameters())
    if "understanding_expert.stack.norm.weight" in parameters:
        text_std = parameters["text_embedding.weight"].float().std()
        parameters["understanding_expert.stack.norm.weight"].fill_(float(text_std))


def _num_layers(model: nn.Module, module_name: str) -> int:
    stack_name, separator, _ = module_name.partition(".layers.")
    if not separator:
        return 1
    layers = model.get_submodule(stack_name).get_submodule("layers")
    return len(list(layers.children()))


def _draw(name: str, parameter: nn.Parameter, num_layers: int, generator: torch.Generator) -> None:
    if name.endswith("norm.weight"):
        parameter.fill_(1.0)
        return
    std = WEIGHT_STD
    if name.endswith(_RESIDUAL_OUTPUTS):
        std /= math.sqrt(2 * num_layers)
    values = torch.empty(parameter.shape).normal_(0.0, std, generator=generator)
    parameter.copy_(values)
