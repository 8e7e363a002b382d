"""Stage 2, audio generation warm-up: the frozen trunk gets a voice.

Trains the generation expert and all that follows it on the way to codes: projection, local decoder, audio head. The
first three streams of a frame (pronunciation, structure, first acoustic level) weigh twice as much as the other
five.
"""

from dataclasses import replace

from uniaudio.stages.config import MixturePhase, StageConfig
from uniaudio.stages.sizes import lengths_of
from uniaudio.stages.stage1_understanding import stage1_understanding

GENERATION_GROUPS = (
    "audio_only",
    "tts",
    "cantonese_tts",
    "instruct_tts",
    "prompt_instruct_tts",
    "text_to_sound",
    "text_to_music",
    "lyrics_to_song",
)
"""Mixture groups whose loss is on audio."""


def stage2_generation(size: str = "debug") -> StageConfig:
    return replace(
        stage1_understanding(size),
        name="stage2",
        trains=("generation_expert", "projection", "local_decoder", "audio_head"),
        mixture=(MixturePhase(first_step=0, weights=tuple((group, 1.0) for group in GENERATION_GROUPS)),),
        num_steps=lengths_of(size).num_steps["stage2"],
        num_rows=lengths_of(size).num_rows["stage2"],
        distillation_weight=0.0,
        audio_weight=1.0,
        stream_weights=(2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    )
