"""The phases of codec training by name, in their order. Imports no torch."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from uniaudio_schemas.errors import UsageError

from uniaudio.stages.codec0_scalar import scalar
from uniaudio.stages.codec1_reasoning import reasoning
from uniaudio.stages.codec2_grpo import grpo
from uniaudio.stages.codec3_decoder import decoder
from uniaudio.stages.codec3_reconstruction import reconstruction
from uniaudio.stages.codec_encoders import encoders
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_released import RELEASED

PHASES: dict[str, Callable[[str], CodecPhase]] = {
    "encoders": encoders,
    "scalar": scalar,
    "reasoning": reasoning,
    "grpo": grpo,
    "reconstruction": reconstruction,
    "decoder": decoder,
}
DEFAULT_PHASES = {
    "debug": ("scalar", "reasoning", "reconstruction"),
    "starter": ("scalar", "reasoning", "reconstruction", "decoder"),
    "released": tuple(RELEASED),
    "released_1024": tuple(RELEASED),
}
"""What trains where a job names no phases. A music encoder that is not given stays random, beside mel; those of the released
sizes are given."""


def codec_phase(name: str, size: str = "debug") -> CodecPhase:
    """The phase `name` at `size`; one that this version lacks is a `UsageError`."""
    if name not in PHASES:
        raise UsageError(f"`name` must be one of {', '.join(PHASES)}, but is {name!r}.")
    if not size.startswith("released"):
        return PHASES[name](size)
    if name not in RELEASED:
        raise UsageError(
            f"`phases` must be some of {', '.join(RELEASED)} at size {size}, whose encoders are given, but names {name}."
        )
    return RELEASED[name]()


def codec_phases(names: Sequence[str], size: str = "debug") -> list[CodecPhase]:
    """The phases `names` at `size`, in order. Where `grpo` follows, `reasoning` learns the answers that it starts from."""
    phases = [codec_phase(name, size) for name in names]
    grpo_tasks = next((phase.tasks for phase in phases if phase.name == "grpo"), ())
    return [replace(phase, tasks=phase.tasks or grpo_tasks) if phase.name == "reasoning" else phase for phase in phases]
