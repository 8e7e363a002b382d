"""What a phase of codec training is: which parts learn, for how long, with which loss. Imports no torch."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import UNIT

Objective = Literal["scalar", "reasoning", "reconstruction"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecPhase:
    name: Objective
    """Which loss; one module of `uniaudio.codec` each."""
    trains: tuple[str, ...]
    """Parts of the codec that receive gradients; all others are frozen, buffers included."""
    num_steps: int
    """Optimizer steps."""
    num_clips: int
    """Crops an optimizer step, over all workers."""
    crop_samples: int
    """Longest crop, at 24 kHz; a multiple of 9,600."""
    learning_rate: float
    """Peak; linear warm-up, then cosine to 0."""
    num_unquantized_steps: int = 0
    """Steps before the codebooks of `trains` are switched on."""
    warmup_share: float = 0.03
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    max_gradient_norm: float = 1.0
    phone_weight: float = 0.1
    """Of the phone loss (released trainer)."""
    commitment_weight: float = 0.5
    """Of the commitment loss (released trainer: 0.5 in `reconstruction`; proposed: 1.0 in `reasoning`)."""
    context_probability: float = 0.5
    """That a batch is given the first 32 to 64 latents of every crop."""
    condition_dropout: float = 0.1
    """Probability that a crop loses its condition (classifier-free guidance)."""
    film_dropout: float = 0.2
    """Probability that a group of a crop is not modulated; in training only."""
    num_teacher_layers: int = 2
    """Layers of the text decoder in `reasoning`."""
    seed: int = 0
    num_threads: int = 1
    """CPU threads: part of the identity, since sums differ between 1 and 2 threads."""
    checkpoint_every: int = 1000
    """Steps."""
    log_every: int = 50
    """Steps."""
    num_held_out: int = 16
    """Held-out clips behind the held-out loss."""

    def __post_init__(self) -> None:
        if self.crop_samples < UNIT or self.crop_samples % UNIT:
            raise UsageError(f"`crop_samples` must be a multiple of {UNIT}, but is {self.crop_samples}.")
        for name in ("num_steps", "num_clips", "num_threads", "checkpoint_every", "log_every", "num_held_out"):
            if getattr(self, name) < 1:
                raise UsageError(f"`{name}` must be 1 or more, but is {getattr(self, name)}.")
        if not 0 <= self.num_unquantized_steps < self.num_steps:
            raise UsageError(
                f"`num_unquantized_steps` must be less than `num_steps`, but is {self.num_unquantized_steps}."
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the phase's identity."""
        return asdict(self)


def check_size(size: str) -> None:
    """`released` sizes are loaded, never trained here."""
    if size not in ("debug", "starter"):
        raise UsageError(f"`size` must be debug or starter to be trained, but is {size!r}.")
