"""Stage 6, preference tuning: of two answers to one request the better one becomes likelier than the worse one, measured against the
model that the stage starts from. Ours, not the paper's, and trained only where it is asked for. Decision 17 says why the numbers are
what they are.
"""

from dataclasses import fields, replace

from uniaudio.stages.config import MixturePhase, PreferenceConfig, StageConfig
from uniaudio.stages.sizes import lengths_of
from uniaudio.stages.stage5_instructions import stage5_instructions

PREFERENCE_GROUP = "preference"
"""Mixture group of the pairs, which no other stage draws."""
BETA = 0.1
"""The value of Rafailov et al. for dialogue."""


def stage6_preference(size: str = "debug") -> PreferenceConfig:
    stage5, lengths = stage5_instructions(size), lengths_of(size)
    common = {one.name: getattr(stage5, one.name) for one in fields(StageConfig)}
    return replace(
        PreferenceConfig(**common, beta=BETA),
        name="stage6",
        mixture=(MixturePhase(first_step=0, weights=((PREFERENCE_GROUP, 1.0),)),),
        num_steps=lengths.num_steps["stage6"],
        num_rows=lengths.num_rows["stage6"],
        learning_rate=stage5.learning_rate / 10,
        # Log-likelihoods are not weighed: these say that nothing is.
        text_weight=1.0,
        audio_weight=1.0,
    )
