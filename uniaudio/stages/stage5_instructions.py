"""Stage 5, instruction tuning: conversations of several turns, with loss on every answer and on nothing else. Ours, not the paper's, and
trained only where it is asked for.

Half of the tokens are conversations. The rest is what the model knew before: text, auditory sentences and every other task. Decision 16
says why the numbers are what they are.
"""

from dataclasses import replace

from uniaudio.stages.config import OTHERS, MixturePhase, StageConfig
from uniaudio.stages.sizes import lengths_of
from uniaudio.stages.stage4_sentences import stage4_sentences

CONVERSATION_GROUP = "conversation"
"""Mixture group that no other stage draws."""


def stage5_instructions(size: str = "debug") -> StageConfig:
    stage4, lengths = stage4_sentences(size), lengths_of(size)
    return replace(
        stage4,
        name="stage5",
        mixture=(MixturePhase(first_step=0, weights=((CONVERSATION_GROUP, 48.0), ("text_only", 16.0), (OTHERS, 1.0))),),
        num_steps=lengths.num_steps["stage5"],
        num_rows=lengths.num_rows["stage5"],
        # A conversation that begins with words to be spoken would lose the questions of its later turns.
        condition_dropout=0.0,
    )
