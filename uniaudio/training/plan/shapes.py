"""Parameters of each module of the language model, and which of them a gradient reaches in a stage.

Letters: D width, A = heads x head size, K = key and value heads x head size, F width of the MLP, V ids, Q codebooks.
"""

from collections.abc import Collection
from dataclasses import dataclass

from uniaudio.lm.config import LMConfig, StackConfig
from uniaudio.stages.config import ALL_MODULES

STACKS = ("understanding_expert", "backbone", "generation_expert", "local_decoder")
SHARDED_STACKS = ("understanding_expert", "backbone", "generation_expert")
"""Stacks whose blocks are gathered one by one. Everything else is gathered for a whole pass (`uniaudio.training.sharding`)."""

_BEFORE: dict[str, tuple[str, ...]] = {
    "text_embedding": (),
    "audio_embedding": (),
    "understanding_expert": ("audio_embedding",),
    "backbone": ("text_embedding", "understanding_expert"),
    "generation_expert": ("backbone",),
    "text_head": ("generation_expert",),
    # The depth decoder reads the codes before, from the same table.
    "projection": ("generation_expert", "audio_embedding"),
    "local_decoder": ("projection",),
    "audio_head": ("local_decoder",),
}
"""Module -> modules whose output it reads."""


def attention_width(stack: StackConfig) -> int:
    """Width A of the queries of all heads."""
    return stack.num_heads * stack.head_size


def kv_width(stack: StackConfig) -> int:
    """Width K of the keys, or of the values, of all heads."""
    return stack.num_kv_heads * stack.head_size


def block_products(stack: StackConfig) -> int:
    """Weights of a block's matrices: D (A + 2K) + A D + 3 D F."""
    heads = 2 * attention_width(stack) + 2 * kv_width(stack)
    return stack.width * (heads + 3 * stack.mlp_width)


def block_parameters(stack: StackConfig) -> int:
    """Parameters of a block: the matrices and two norms."""
    return block_products(stack) + 2 * stack.width


def stack_of(config: LMConfig, module: str) -> StackConfig:
    """The shape of one of `STACKS`."""
    stack: StackConfig = getattr(config, module)
    return stack


def parameters_of(config: LMConfig) -> dict[str, int]:
    """Module -> parameters, in the order of `ALL_MODULES`. A stack of no layers has none, its norm included."""
    width, depth = config.width, config.local_decoder.width
    num_parameters = {
        "text_embedding": config.text_size * width,
        "audio_embedding": config.num_codebooks * config.audio_size * width,
        "projection": width * depth,
        "audio_head": config.num_codebooks * depth * config.audio_size,
        "text_head": config.text_size * width,
    }
    for module in STACKS:
        stack = stack_of(config, module)
        num_parameters[module] = (stack.num_layers * block_parameters(stack) + stack.width) if stack.num_layers else 0
    return {module: num_parameters[module] for module in ALL_MODULES}


@dataclass(frozen=True, slots=True)
class Reach:
    """What the backward pass does at a module."""

    learns: bool
    """Whether the module's weights have a gradient."""
    passes: bool
    """Whether its input has a gradient, because something before it learns."""

    @property
    def is_reached(self) -> bool:
        """Whether its activations are kept for a backward pass."""
        return self.learns or self.passes


def reach_of(trains: Collection[str]) -> dict[str, Reach]:
    """Module -> what the backward pass of a stage that trains `trains` does there."""
    reach: dict[str, Reach] = {}
    for module, before in _BEFORE.items():
        reach[module] = Reach(learns=module in trains, passes=any(reach[one].is_reached for one in before))
    return reach
