"""The order of training examples, a function of (content ids, mixture, seed, step) alone.

Groups are drawn so that their shares of the TOKENS follow the mixture's weights: each draw takes the group that is
owed most. Inside a group examples come in a keyed permutation of their id order, a new one each epoch, computed in
O(1) a draw; so a position (a few numbers a group) is all there is to save, and neither shards, workers, ranks nor
restarts can change the order.

State   {"step": 12, "groups": {"asr": {"drawn": 61, "credit": -35.2, …}}, "pending": [["asr", 60], …]}
"""

import json
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Protocol

from uniaudio_schemas.errors import UsageError

from uniaudio.stages.config import MixturePhase

MAX_PENDING = 8
"""Examples that may wait for a row with room; more would fill rows better and bend the order further."""
FEISTEL_ROUNDS = 4
"""Four rounds of a pseudo-random function make a pseudo-random permutation (Luby and Rackoff, 1988)."""


def _random_bits(key: bytes, *values: int) -> int:
    message = b"".join(value.to_bytes(8, "little") for value in values)
    return int.from_bytes(blake2b(message, key=key, digest_size=8).digest(), "little")


def random_unit(key: bytes, *values: int) -> float:
    """A number in [0, 1) that depends on nothing but the key (at most 64 bytes) and the integers."""
    return _random_bits(key, *values) / 2**64


def permuted(index: int, size: int, key: bytes, epoch: int) -> int:
    """Where `index` of `range(size)` goes under the permutation of (`key`, `epoch`): a Feistel network that walks
    until it is inside."""
    half_bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = (1 << half_bits) - 1
    while True:
        left, right = index >> half_bits, index & mask
        for round_number in range(FEISTEL_ROUNDS):
            left, right = right, left ^ (_random_bits(key, epoch, round_number, right) & mask)
        index = (left << half_bits) | right
        if index < size:
            return index


@dataclass(frozen=True, slots=True)
class Draw:
    """One example of the stream: the `number`-th draw of its group, which is row `index` of the group in id order."""

    group: str
    number: int
    index: int
    epoch: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The packed rows of one optimizer step, over all workers."""

    step: int
    rows: tuple[tuple[Draw, ...], ...]


@dataclass(slots=True)
class _Group:
    drawn: int = 0
    credit: float = 0.0
    """Tokens the group is owed."""
    num_examples: int = 0
    num_tokens: int = 0
    """Examples and positions trained on, repeats included."""
    num_loss_tokens: int = 0


class Numbers(Protocol):
    """One number an example of a group, in id order: an array, or a column of an index that no rank holds in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Any: ...

    def sum(self) -> Any: ...


@dataclass(slots=True)
class MixtureOrder:
    """Draws examples and packs them into the rows of one step after another."""

    lengths: Mapping[str, Numbers]
    """Positions of each example of a group."""
    loss_tokens: Mapping[str, Numbers]
    """Positions of it that carry loss."""
    mixture: tuple[MixturePhase, ...]
    context: int
    num_rows: int
    key: bytes
    """Hash of content ids and seed (`order_key`)."""
    size_exponent: float = 0.0
    """A group's weight is multiplied by its tokens to this power."""
    step: int = 0
    _groups: dict[str, _Group] = field(default_factory=dict)
    _sizes: dict[str, float] = field(default_factory=dict)
    """Group -> what its weight is multiplied by."""
    _pending: list[Draw] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._groups = {group: _Group() for group in sorted(self.lengths) if len(self.lengths[group])}
        self._sizes = {group: self._size(group) for group in self._groups}
        for phase in self.mixture:
            if not self._shares(phase):
                raise UsageError(
                    f"The mixture from step {phase.first_step} must weight a group that has examples "
                    f"({', '.join(self._groups) or 'there is none'}), but weights {dict(phase.weights)}."
                )

    def _size(self, group: str) -> float:
        """Only where it counts: a sum is a pass over the group."""
        return float(self.lengths[group].sum()) ** self.size_exponent if self.size_exponent else 1.0

    def _shares(self, phase: MixturePhase) -> dict[str, float]:
        weights = {group: phase.weight_of(group) * self._sizes[group] for group in self._groups}
        total = sum(weights.values())
        return {group: weight / total for group, weight in weights.items() if weight > 0}

    def _length(self, draw: Draw) -> int:
        return int(self.lengths[draw.group][draw.index])

    def _draw_at(self, group: str, number: int) -> Draw:
        size = len(self.lengths[group])
        epoch, index = divmod(number, size)
        group_key = blake2b(group.encode(), key=self.key, digest_size=32).digest()
        return Draw(group, number, permuted(index, size, group_key, epoch), epoch)

    def _draw(self, shares: Mapping[str, float]) -> Draw:
        name = max(shares, key=lambda group: (self._groups[group].credit, group))
        draw = self._draw_at(name, self._groups[name].drawn)
        self._groups[name].drawn += 1
        length = self._length(draw)
        for group, share in shares.items():
            self._groups[group].credit += share * length
        self._groups[name].credit -= length
        return draw

    def next_step(self) -> StepPlan:
        """Rows of the next step. Best fit: an example goes to the fullest row that holds it; what fits nowhere waits
        for the next step."""
        phase = [phase for phase in self.mixture if phase.first_step <= self.step][-1]
        shares = self._shares(phase)
        rows: list[list[Draw]] = [[] for _ in range(self.num_rows)]
        rooms = [(self.context, row) for row in range(self.num_rows)]
        """(free positions, row), ascending."""
        waiting: list[Draw] = []
        candidates = list(self._pending)
        while len(waiting) < MAX_PENDING and rooms[-1][0] > 0:
            draw = candidates.pop(0) if candidates else self._draw(shares)
            length = self._length(draw)
            place = bisect_left(rooms, (length, -1))
            if place == len(rooms):
                waiting.append(draw)
                continue
            room, row = rooms.pop(place)
            rows[row].append(draw)
            insort(rooms, (room - length, row))
            self._count(draw)
        self._pending = waiting + candidates
        self.step += 1
        return StepPlan(self.step - 1, tuple(tuple(row) for row in rows))

    def _count(self, draw: Draw) -> None:
        group = self._groups[draw.group]
        group.num_examples += 1
        group.num_tokens += self._length(draw)
        group.num_loss_tokens += int(self.loss_tokens[draw.group][draw.index])

    def state(self) -> dict[str, Any]:
        """The position, JSON-able: a few hundred bytes a group."""
        names = ("drawn", "credit", "num_examples", "num_tokens", "num_loss_tokens")
        groups = {name: {key: getattr(group, key) for key in names} for name, group in self._groups.items()}
        pending = [[draw.group, draw.number] for draw in self._pending]
        return {"step": self.step, "key": self.key.hex(), "groups": groups, "pending": pending}

    def drawn_before(self, position: Mapping[str, Any], group: str) -> Iterator[int]:
        """Each row of a group, in id order, that the steps before a position trained on, in the order of its first draw."""
        pending = {number for name, number in position["pending"] if name == group}
        for number in range(min(position["groups"][group]["drawn"], len(self.lengths[group]))):
            if number not in pending:
                yield self._draw_at(group, number).index

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to a position in O(1)."""
        if state["key"] != self.key.hex() or sorted(state["groups"]) != sorted(self._groups):
            raise UsageError("The position must come from the same sequences, seed and mixture groups, but does not.")
        self.step = int(state["step"])
        self._groups = {name: _Group(**state["groups"][name]) for name in sorted(state["groups"])}
        self._pending = [self._draw_at(group, number) for group, number in state["pending"]]


def order_key(content_ids: Sequence[str], seed: int) -> bytes:
    """32 bytes that stand for the data and the seed."""
    return blake2b(json.dumps([sorted(content_ids), seed]).encode(), digest_size=32).digest()


def ledger_of(position: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """What each group really contributed to the steps before a position (`MixtureOrder.state`)."""
    names = ("num_examples", "num_tokens", "num_loss_tokens")
    return {group: {name: entry[name] for name in names} for group, entry in position["groups"].items()}


def num_drawn_of(position: Mapping[str, Any]) -> int:
    """Examples drawn from the mixture before a position."""
    return sum(entry["drawn"] for entry in position["groups"].values())
