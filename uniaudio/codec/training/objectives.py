"""Which objective each phase of codec training has."""

from torch import nn
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.training.clips import ClipSet
from uniaudio.codec.training.encoders import EncodersObjective
from uniaudio.codec.training.grpo import GrpoObjective
from uniaudio.codec.training.objective import Objective
from uniaudio.codec.training.reasoning import ReasoningObjective
from uniaudio.codec.training.reconstruction import DecoderObjective, ReconstructionObjective
from uniaudio.codec.training.scalar import ScalarObjective
from uniaudio.codec.training.text_policy import TextPolicy
from uniaudio.stages.codec_phase import CodecPhase

_OBJECTIVES: dict[str, type[Objective]] = {
    "encoders": EncodersObjective,
    "scalar": ScalarObjective,
    "reasoning": ReasoningObjective,
    "reconstruction": ReconstructionObjective,
    "decoder": DecoderObjective,
}


def build_objective(
    codec: ReasoningCodec, phase: CodecPhase, train: ClipSet, held_out: ClipSet, teacher_before: nn.Module | None
) -> Objective:
    """`teacher_before` is what the phase before learned beside the codec: phase `grpo` goes on with its text decoder."""
    if phase.name == "grpo":
        policy = teacher_before if isinstance(teacher_before, TextPolicy) else None
        return GrpoObjective(codec, phase, train, held_out, policy)
    return _OBJECTIVES[phase.name](codec, phase, train, held_out)


def check_order(phases: list[str]) -> None:
    """Phase `grpo` goes on with the text decoder that `reasoning` trained, so it must come right after it."""
    for before, phase in zip(["", *phases], phases, strict=False):
        if phase == "grpo" and before != "reasoning":
            raise UsageError(f"Phase `grpo` must come right after `reasoning`, but comes after {before or 'nothing'}.")
