"""What every run of training is told, whatever learns: how long, how fast, how often it is looked at. Imports no torch."""

import math
from dataclasses import dataclass
from typing import Literal

from uniaudio_schemas.errors import UsageError

Precision = Literal["float32", "bfloat16"]
Recomputation = Literal["none", "blocks", "selective"]
_WHOLE = ("num_steps", "num_threads", "checkpoint_every", "log_every", "num_held_out")


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Base of a stage of the language model and of a phase of the codec."""

    name: str
    num_steps: int
    """Optimizer steps."""
    learning_rate: float
    """Peak; linear warm-up, then cosine to 0."""
    warmup_share: float = 0.03
    """Share of the steps over which the learning rate rises linearly."""
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    max_gradient_norm: float = 1.0
    max_skipped: int = 5
    """Steps out of `SKIP_WINDOW` that may be skipped, because their gradient is not finite or they have no target, before the
    run stops with its reason; that of a codec, which cannot be trusted after one, is 0."""
    max_rollbacks: int = 0
    """Times that a run with too many skipped steps goes back to its last checkpoint, and on from there with the data that comes
    next, before it stops."""
    spike_ratio: float = 0.0
    """A step whose loss is more than this many times the median of the `SKIP_WINDOW` losses before it is skipped as well; 0 looks
    at gradients alone."""
    num_threads: int = 2
    """CPU threads: part of the identity, since sums differ between 1 and 2 threads."""
    deterministic: bool = True
    """Kernels that give the same bits each time; on a device they are slower, and some do not exist. Part of the identity, since
    other kernels round otherwise."""
    checkpoint_every: int = 1000
    """Steps from one checkpoint to the next."""
    log_every: int = 100
    """Steps from one line of the log to the next."""
    num_held_out: int = 16
    """Held-out examples behind a held-out loss."""

    def __post_init__(self) -> None:
        for name in _WHOLE:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"`{name}` must be a whole number of 1 or more, but is {value!r}.")
        for name in ("learning_rate", "max_gradient_norm"):
            if not 0 < getattr(self, name) < math.inf:  # also where it is NaN
                raise UsageError(f"`{name}` must be more than 0 and finite, but is {getattr(self, name)!r}.")
        for name in ("max_skipped", "max_rollbacks", "spike_ratio"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"`{name}` must be 0 or more, but is {getattr(self, name)!r}.")
        if 0 < self.spike_ratio <= 1:
            raise UsageError(f"`spike_ratio` must be 0 or more than 1, but is {self.spike_ratio}.")


SKIP_WINDOW = 50
"""Steps that `max_skipped` is counted in."""
