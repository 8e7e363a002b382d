"""Stage 1, audio understanding warm-up: the frozen text backbone gets ears.

Trains the understanding expert and, as the authors' code does, the audio embedding that feeds it; the loss is on
text alone. The paper adds a semantic distillation loss, which no public code of the authors has and whose weight is not
known: on at the paper's sizes, off at the small ones unless `distillation_weight` asks for it.
"""

from dataclasses import replace

from uniaudio.stages.config import MixturePhase, StageConfig
from uniaudio.stages.sizes import lengths_of
from uniaudio.stages.text_warmup import text_warmup

UNDERSTANDING_GROUPS = (
    "asr",  # the paper's list (section 4.4, B.2)
    "cantonese_asr",  # the paper's, which names Cantonese beside English and Chinese
    "dysarthric_asr",  # a format of the authors' code; their Table 7 has it without training
    "lyric_recognition",  # the paper's
    "audio_caption",  # the paper's
    "music_caption",  # the paper's
    "audio_understanding",  # the paper's "audio question answering"
    "speech_to_text",  # a format of the authors' code
)
"""Mixture groups whose loss is on text that answers audio. Which tasks the authors trained in which stage is not public: that each
task of this kind is here, and nothing else, is our reading of "understanding warm-up"."""


def stage1_understanding(size: str = "debug") -> StageConfig:
    lengths = lengths_of(size)
    return replace(
        text_warmup(size),
        name="stage1",
        # The paper's experts, and the table that feeds them, as in the authors' code.
        trains=("audio_embedding", "understanding_expert"),
        # Ours: all alike.
        mixture=(MixturePhase(first_step=0, weights=tuple((group, 1.0) for group in UNDERSTANDING_GROUPS)),),
        # The paper's at its sizes, as its context; the rows are its tokens over both.
        num_steps=lengths.num_steps["stage1"],
        num_rows=lengths.num_rows["stage1"],
        # The paper's loss; its weight, target and decoder are ours.
        distillation_weight=lengths.distillation_weight,
    )
