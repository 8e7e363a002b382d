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
    "audio_only",  # the paper's list (section 4.4, B.2)
    "tts",  # the paper's
    "cantonese_tts",  # the paper's, which names Cantonese beside English and Chinese
    "instruct_tts",  # the paper's
    "prompt_instruct_tts",  # a format of the authors' code
    "text_to_sound",  # the paper's
    "text_to_music",  # the paper's
    "lyrics_to_song",  # the paper's "song generation from lyrics"
)
"""Mixture groups whose loss is on audio. Which tasks the authors trained in which stage is not public: to leave those that change a clip
(edits, separation, denoising) and the other shown voices to stage 3 is our choice."""


def stage2_generation(size: str = "debug") -> StageConfig:
    return replace(
        stage1_understanding(size),
        name="stage2",
        # The paper's experts and local decoder, and its way in and out.
        trains=("generation_expert", "projection", "local_decoder", "audio_head"),
        # Ours: all alike.
        mixture=(MixturePhase(first_step=0, weights=tuple((group, 1.0) for group in GENERATION_GROUPS)),),
        # The paper's at its sizes; the rows are its tokens over steps and context.
        num_steps=lengths_of(size).num_steps["stage2"],
        num_rows=lengths_of(size).num_rows["stage2"],
        distillation_weight=0.0,
        audio_weight=1.0,
        # The paper's.
        stream_weights=(2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    )
