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
    "asr",
    "cantonese_asr",
    "dysarthric_asr",
    "lyric_recognition",
    "audio_caption",
    "music_caption",
    "audio_understanding",
    "speech_to_text",
)
"""Mixture groups whose loss is on text that answers audio."""


def stage1_understanding(size: str = "debug") -> StageConfig:
    lengths = lengths_of(size)
    return replace(
        text_warmup(size),
        name="stage1",
        trains=("audio_embedding", "understanding_expert"),
        mixture=(MixturePhase(first_step=0, weights=tuple((group, 1.0) for group in UNDERSTANDING_GROUPS)),),
        num_steps=lengths.num_steps["stage1"],
        num_rows=lengths.num_rows["stage1"],
        distillation_weight=lengths.distillation_weight,
    )
