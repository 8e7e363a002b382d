"""Keys and values of past positions: one buffer per stack, as long as the request needs and no longer.

Every row is aligned left: position p of a row lies in slot p whatever its neighbours in the batch, so that a row sees
the same keys alone and batched.

Shapes: B batch, S new positions, L slots, G key and value heads, E head size.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from uniaudio.lm.config import StackConfig
from uniaudio.lm.stepping import StackSteps


class KVCache:
    """Keys and values of one stack, `[layers, B, G, L, E]`; `steps` is how single positions go through it."""

    def __init__(
        self, config: StackConfig, batch_size: int, num_slots: int, like: Tensor, steps: StackSteps | None = None
    ) -> None:
        shape = (config.num_layers, batch_size, config.num_kv_heads, num_slots, config.head_size)
        self.keys = like.new_zeros(shape)
        self.values = like.new_zeros(shape)
        self.steps = steps

    def put(
        self, layer: int, key_BGSE: Tensor, value_BGSE: Tensor, slots: Tensor | int | None
    ) -> tuple[Tensor, Tensor]:
        """Stores new keys and values and returns the layer's whole buffers.

        `slots`: `[B, S]`, or the first slot of consecutive ones that all rows share; None is 0.
        """
        keys, values = self.keys[layer], self.values[layer]
        if isinstance(slots, Tensor):
            rows_B1 = torch.arange(keys.shape[0], device=keys.device)[:, None]
            keys[rows_B1, :, slots] = key_BGSE.transpose(1, 2)
            values[rows_B1, :, slots] = value_BGSE.transpose(1, 2)
        else:
            new = slice(slots or 0, (slots or 0) + key_BGSE.shape[2])
            keys[:, :, new] = key_BGSE
            values[:, :, new] = value_BGSE
        return keys, values

    def select(self, rows: Tensor) -> None:
        """Keeps `rows`, in that order; a row may be named several times."""
        self.keys = self.keys.index_select(1, rows)
        self.values = self.values.index_select(1, rows)


class ModelCache:
    """The caches of the three trunk stacks and how many slots are in use."""

    def __init__(self, stacks: dict[str, StackConfig], batch_size: int, num_slots: int, like: Tensor) -> None:
        self.stacks = {name: KVCache(config, batch_size, num_slots, like) for name, config in stacks.items()}
        self.num_slots = num_slots
        self.num_used = 0

    def step_with(self, steps: Mapping[str, StackSteps]) -> None:
        """From here on single positions go through `steps`, by name of the stack."""
        for name, stack in self.stacks.items():
            stack.steps = steps.get(name)

    def select(self, rows: Tensor) -> None:
        """Keeps `rows` of every stack."""
        for stack in self.stacks.values():
            stack.select(rows)

    @property
    def num_bytes(self) -> int:
        return sum(2 * stack.keys.numel() * stack.keys.element_size() for stack in self.stacks.values())
