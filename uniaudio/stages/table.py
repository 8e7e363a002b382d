"""The stages of the language model, in order, by name."""

from collections.abc import Callable

from uniaudio_schemas.errors import UsageError

from uniaudio.stages.config import StageConfig
from uniaudio.stages.stage1_understanding import stage1_understanding
from uniaudio.stages.stage2_generation import stage2_generation
from uniaudio.stages.stage3_pretraining import stage3_pretraining
from uniaudio.stages.stage4_sentences import stage4_sentences
from uniaudio.stages.stage5_instructions import stage5_instructions
from uniaudio.stages.stage6_preference import stage6_preference
from uniaudio.stages.text_warmup import text_warmup

STAGES: dict[str, Callable[[str], StageConfig]] = {
    "text_warmup": text_warmup,
    "stage1": stage1_understanding,
    "stage2": stage2_generation,
    "stage3": stage3_pretraining,
    "stage4": stage4_sentences,
}
"""Stages that are trained by default, in this order: a warm-up where there is no backbone, and the paper's four."""
ALL_STAGES: dict[str, Callable[[str], StageConfig]] = {
    **STAGES,
    "stage5": stage5_instructions,
    "stage6": stage6_preference,
}
"""All stages, also those that are trained only on request. Each starts from the checkpoint of the one before."""


def stage_config(name: str, size: str = "debug") -> StageConfig:
    """The stage `name` at `size`."""
    if name not in ALL_STAGES:
        raise UsageError(f"`stage` must be one of {', '.join(ALL_STAGES)}, but is {name!r}.")
    return ALL_STAGES[name](size)


def stage_before(name: str) -> str | None:
    """The stage whose checkpoint `name` starts from; None for the first."""
    names = list(ALL_STAGES)
    if name not in names:
        raise UsageError(f"`stage` must be one of {', '.join(names)}, but is {name!r}.")
    return names[names.index(name) - 1] if names.index(name) else None
