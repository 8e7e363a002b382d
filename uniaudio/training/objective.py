"""What the loop is given to train: a stage of the language model or a phase of the codec, each as one class."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from uniaudio.training.optim import ParameterGroup


class Objective(Protocol):
    """One part of a run. Its gradients add up: over the losses of a step, and over ranks."""

    modules: nn.ModuleDict
    """All that a checkpoint holds, by name."""
    is_sharded: bool
    """Whether torch itself sums the gradients over ranks, in the backward pass."""

    def described(self) -> dict[str, Any]:
        """JSON-able description of the modules. A checkpoint of other modules is refused."""
        ...

    def groups(self) -> list[ParameterGroup]:
        """Parameters that learn."""
        ...

    def losses(self, step: int) -> Iterator[Tensor]:
        """The scalar losses of step `step`, one a pass. The backward pass of each runs before the next is computed. None where the step
        has no target."""
        ...

    def values(self) -> dict[str, float]:
        """Values of the step whose losses were taken last, `loss` among them."""
        ...

    def gauges(self) -> dict[str, float]:
        """Values that are reported and not saved, since they differ from run to run: speed, waiting."""
        ...

    def finish_step(self) -> None:
        """Called after the optimizer: make equal whatever else must be the same on all ranks."""
        ...

    def held_out(self, step: int) -> Mapping[str, float]:
        """Points of held-out curves after `step` steps."""
        ...

    def position(self) -> dict[str, Any]:
        """JSON-able position in the data after the losses taken last."""
        ...

    def restore(self, position: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...
