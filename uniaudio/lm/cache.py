"""Keys and values of past positions: one buffer per stack, as long as its answers need and no longer.

Every row is aligned left: position p of a row lies in slot p whatever its neighbours in the batch, so that a row sees
the same keys alone and batched. Rows come and go while others are written: a buffer has room for more rows than are in use.

Shapes: B batch, S new positions, L slots, G key and value heads, E head size, P = B * G, K slots that are looked at.
"""

from collections.abc import Mapping
from copy import copy
from typing import NamedTuple

import torch
from torch import Tensor

from uniaudio.lm.config import StackConfig


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
    """Keys and values of one stack, `[layers, 2, B, G, L, E]`.

    `both` is what is in use: the first rows of a buffer, or some of them (`part`).
    """

    def __init__(self, config: StackConfig, batch_size: int, num_slots: int, like: Tensor) -> None:
        shape = (config.num_layers, 2, batch_size, config.num_kv_heads, num_slots, config.head_size)
        self.both = self._buffer = like.new_zeros(shape)

    @property
    def num_rows_kept(self) -> int:
        """Rows that the buffer has room for; a layer's values lie so many rows behind its keys."""
        return self._buffer.shape[2]

    @property
    def num_bytes(self) -> int:
        return self._buffer.numel() * self._buffer.element_size()

    def resize(self, num_rows: int, num_rows_kept: int, num_slots: int) -> None:
        """Use `num_rows` rows from here on, in a buffer of at least the given sizes. Its contents stay."""
        layers, two, rows, groups, slots, size = self._buffer.shape
        if num_rows_kept > rows or num_slots > slots:
            buffer = self._buffer.new_zeros(layers, two, max(num_rows_kept, rows), groups, max(num_slots, slots), size)
            buffer[:, :, : self.both.shape[2], :, :slots] = self.both
            self._buffer = buffer
        self.both = self._buffer[:, :, :num_rows]

    def part(self, first: int, num_rows: int) -> "KVCache":
        """Some rows of this cache, in the same memory."""
        part = copy(self)
        part.both = self._buffer[:, :, first : first + num_rows]
        return part

    def move(self, source: int, target: int, num_used: int) -> None:
        """Puts the first `num_used` slots of row `source` into row `target`, which holds nothing else then."""
        self.both[:, :, target, :, :num_used] = self.both[:, :, source, :, :num_used]
        self.both[:, :, target, :, num_used:] = 0

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
        self.both = self._buffer = self.both.index_select(2, rows)

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

    def __init__(self, stacks: Mapping[str, StackConfig], batch_size: int, num_slots: int, like: Tensor) -> None:
        self.stacks = {name: KVCache(config, batch_size, num_slots, like) for name, config in stacks.items()}
        self.num_rows, self.num_slots = batch_size, num_slots
        self.num_rows_kept = batch_size
        self.num_used = 0

    def include(self, stacks: Mapping[str, StackConfig], like: Tensor) -> None:
        """Caches for those of `stacks` that have none yet, as large as the others."""
        for name in stacks.keys() - self.stacks.keys():
            self.stacks[name] = KVCache(stacks[name], self.num_rows_kept, self.num_slots, like)
            self.stacks[name].resize(self.num_rows, self.num_rows_kept, self.num_slots)

    def resize(self, num_rows: int, num_slots: int = 0) -> None:
        """Use `num_rows` rows from here on, with at least `num_slots` slots. A size that grows is doubled, so that answers that join
        one after the other do not copy the others each time."""
        num_rows_kept, slots = self.num_rows_kept, self.num_slots
        if num_rows > num_rows_kept:
            num_rows_kept = max(num_rows, 2 * num_rows_kept)
        if num_slots > slots:
            slots = max(num_slots, 2 * slots)
        for stack in self.stacks.values():
            stack.resize(num_rows, num_rows_kept, slots)
        # Afterwards: where a stack finds no room, the rows before are taken back without asking for it again.
        self.num_rows, self.num_rows_kept, self.num_slots = num_rows, num_rows_kept, slots

    def clear(self, first: int) -> None:
        """Empties the rows in use from `first` on. What is masked counts zero times, and zero times what is no number is no number."""
        for stack in self.stacks.values():
            stack.both[:, :, first:] = 0

    def part(self, first: int, num_rows: int) -> "ModelCache":
        """Some rows, in the same memory, as a cache in which nothing lies yet."""
        part = copy(self)
        part.stacks = {name: stack.part(first, num_rows) for name, stack in self.stacks.items()}
        part.num_used = 0
        return part

    def move(self, source: int, target: int, num_used: int) -> None:
        """Puts the first `num_used` slots of row `source` into row `target`, in every stack."""
        for stack in self.stacks.values():
            stack.move(source, target, num_used)

    def select(self, rows: Tensor) -> None:
        """Keeps `rows` of every stack."""
        for stack in self.stacks.values():
            stack.select(rows)
        self.num_rows = self.num_rows_kept = len(rows)

    @property
    def num_bytes(self) -> int:
        return sum(stack.num_bytes for stack in self.stacks.values())
