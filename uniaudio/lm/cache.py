"""Keys and values of past positions: one buffer per stack, as long as the request needs and no longer.

Every row is aligned left: position p of a row lies in slot p whatever its neighbours in the batch, so that a row sees
the same keys alone and batched.

Shapes: B batch, S new positions, L slots, G key and value heads, E head size, P = B * G, K slots that are looked at.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from uniaudio.lm.config import StackConfig
from uniaudio.lm.stepping import Steps


class Layer(NamedTuple):
    """What one new position sees of a layer, itself included, and where it is put."""

    keys_PKE: Tensor
    values_PKE: Tensor
    place: Tensor
    """`[2, B, G, E]`, or the whole layer `[2, B, G, L, E]` where rows differ."""
    rows_and_slots: tuple[Tensor, Tensor] | None
    """Rows and slots, where rows differ."""

    def put(self, new: Tensor) -> None:
        """Keys and values `[B, 2G, E]` of the position."""
        new_B2GE = new.unflatten(1, (2, -1))
        if self.rows_and_slots is None:
            self.place.copy_(new_B2GE.transpose(0, 1))
        else:
            rows_B, slots_B = self.rows_and_slots
            self.place[:, rows_B, :, slots_B] = new_B2GE


class KVCache:
    """Keys and values of one stack, `[layers, 2, B, G, L, E]`; `steps` is how single positions go through it."""

    def __init__(
        self, config: StackConfig, batch_size: int, num_slots: int, like: Tensor, steps: Steps | None = None
    ) -> None:
        shape = (config.num_layers, 2, batch_size, config.num_kv_heads, num_slots, config.head_size)
        self.both = like.new_zeros(shape)
        self.steps = steps

    def put(
        self, layer: int, key_BGSE: Tensor, value_BGSE: Tensor, slots: Tensor | int | None
    ) -> tuple[Tensor, Tensor]:
        """Stores new keys and values and returns the layer's whole buffers.

        `slots`: `[B, S]`, or the first slot of consecutive ones that all rows share; None is 0.
        """
        keys, values = self.both[layer].unbind()
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
        self.both = self.both.index_select(2, rows)

    def layers(self, slots: Tensor | int, num_keys: int) -> list[Layer]:
        """Every layer as a step sees it: `slots` is `[B, 1]`, or the slot that all rows share."""
        keys, values = self.both.flatten(2, 3)[..., :num_keys, :].unbind(1)
        places, rows_and_slots = self.both, None
        if isinstance(slots, int):
            places = self.both[..., slots, :]
        else:
            rows_and_slots = (torch.arange(self.both.shape[2], device=self.both.device), slots[:, 0])
        return [
            Layer(*layer, rows_and_slots) for layer in zip(keys.unbind(), values.unbind(), places.unbind(), strict=True)
        ]


class ModelCache:
    """The caches of the three trunk stacks and how many slots are in use."""

    def __init__(self, stacks: dict[str, StackConfig], batch_size: int, num_slots: int, like: Tensor) -> None:
        self.stacks = {name: KVCache(config, batch_size, num_slots, like) for name, config in stacks.items()}
        self.num_slots = num_slots
        self.num_used = 0

    def step_with(self, steps: Mapping[str, Steps]) -> None:
        """From here on single positions go through `steps`, by name of the stack."""
        for name, stack in self.stacks.items():
            stack.steps = steps.get(name)

    def select(self, rows: Tensor) -> None:
        """Keeps `rows` of every stack."""
        for stack in self.stacks.values():
            stack.select(rows)

    @property
    def num_bytes(self) -> int:
        return sum(stack.both.numel() * stack.both.element_size() for stack in self.stacks.values())
