"""Which objective each phase of codec training has, and what a run of phases must be given."""

from collections.abc import Sequence

import numpy as np
from torch import nn
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.spectral import SpectralAutoencoder
from uniaudio.codec.text_policy import TextPolicy
from uniaudio.codec.windows import check_clip
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.audio import StoredSamples
from uniaudio.training.codec.clips import ClipSet, TrainingClip
from uniaudio.training.codec.encoders import EncodersObjective
from uniaudio.training.codec.grpo import GrpoObjective
from uniaudio.training.codec.objective import PhaseLosses
from uniaudio.training.codec.reasoning import ReasoningObjective
from uniaudio.training.codec.reconstruction import DecoderObjective, ReconstructionObjective
from uniaudio.training.codec.scalar import ScalarObjective
from uniaudio.training.codec.spectral import SpectralObjective

_OBJECTIVES: dict[str, type[PhaseLosses]] = {
    "encoders": EncodersObjective,
    "scalar": ScalarObjective,
    "reasoning": ReasoningObjective,
    "reconstruction": ReconstructionObjective,
    "decoder": DecoderObjective,
}


def build_losses(
    codec: ReasoningCodec, phase: CodecPhase, train: ClipSet, held_out: ClipSet, teacher_before: nn.Module | None
) -> PhaseLosses:
    """`teacher_before` is what the phase before learned beside the codec: phase `grpo` goes on with its text decoder."""
    if phase.name == "grpo":
        policy = teacher_before if isinstance(teacher_before, TextPolicy) else None
        return GrpoObjective(codec, phase, train, held_out, policy)
    kind = _OBJECTIVES[phase.name]
    if kind is ScalarObjective and isinstance(codec.scalar, SpectralAutoencoder):
        kind = SpectralObjective
    return kind(codec, phase, train, held_out)


def check_run(
    codec: ReasoningCodec,
    phases: Sequence[CodecPhase],
    clips: Sequence[TrainingClip],
    held_out: Sequence[TrainingClip],
) -> None:
    """What is wrong with a run, before its first step: the order of its phases, a part that the codec lacks, a set
    without clips, or a clip that is no audio, by name."""
    _check_order([phase.name for phase in phases])
    parts = {name for name, _ in [*codec.named_modules(), *codec.named_parameters()]} - {""}
    for phase in phases:
        wrong = [name for name in phase.trains if name not in parts]
        if wrong or not phase.trains:
            raise UsageError(
                f"`trains` of phase `{phase.name}` must be modules or parameters of the codec, "
                f"but {', '.join(map(repr, wrong)) or 'nothing'} is none."
            )
    for name, some_clips in (("clips", clips), ("held_out", held_out)):
        if not some_clips:
            raise DataError(f"codec training: `{name}` must hold at least one clip, but is empty.")
        for index, clip in enumerate(some_clips):
            # Stored ones are float32 of one channel that decoded once.
            if not isinstance(clip.samples, StoredSamples):
                _check_samples(clip.samples, f"{index} of `{name}`" + (f" ({clip.clip_id})" if clip.clip_id else ""))


def _check_samples(samples: np.ndarray, name: str) -> None:
    check_clip(samples, name)
    if np.ndim(samples) != 1:
        raise UsageError(f"Clip {name} must be audio [N], but has shape {list(np.shape(samples))}.")


def _check_order(phases: list[str]) -> None:
    """Phase `grpo` goes on with the text decoder that `reasoning` trained, so it must come right after it."""
    for before, phase in zip(["", *phases], phases, strict=False):
        if phase == "grpo" and before != "reasoning":
            raise UsageError(f"Phase `grpo` must come right after `reasoning`, but comes after {before or 'nothing'}.")
