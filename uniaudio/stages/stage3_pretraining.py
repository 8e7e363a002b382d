"""Stage 3, audio-text pre-training: everything learns, on all tasks and plain text; text weighs 1.6 to keep what the
backbone knew."""

from dataclasses import replace

from uniaudio.stages.config import ALL_MODULES, OTHERS, MixturePhase, StageConfig
from uniaudio.stages.sizes import lengths_of
from uniaudio.stages.stage2_generation import stage2_generation

SENTENCES_GROUP = "auditory_sentences"
"""Mixture group of the long multi-segment examples, which stage 4 adds."""


def stage3_pretraining(size: str = "debug") -> StageConfig:
    # That all tasks and text are drawn and no auditory sentence is the paper's; the shares are ours.
    weights = (("text_only", 4.0), (SENTENCES_GROUP, 0.0), (OTHERS, 1.0))
    return replace(
        stage2_generation(size),
        name="stage3",
        trains=ALL_MODULES,  # the paper's
        mixture=(MixturePhase(first_step=0, weights=weights),),
        # The paper's at its sizes; the rows are its tokens over steps and context.
        num_steps=lengths_of(size).num_steps["stage3"],
        num_rows=lengths_of(size).num_rows["stage3"],
        # The default of the authors' trainer; the paper is silent.
        learning_rate=lengths_of(size).joint_learning_rate,
        text_weight=1.6,  # the paper's
        # All streams alike from here on: the paper names the 2/8 for stage 2 only.
        stream_weights=(1.0,) * 8,
    )
