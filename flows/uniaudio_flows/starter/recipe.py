"""What the starter tells the flow `everything` besides its size: what fits hours of two cores, and what a model of fifteen million weights can learn.

parameters(codec="")    {"annotate_corpus": {"annotators": […]}, "build_multitask_data": {…}, "train_stage": {"mixtures": {…}}}
"""

from typing import Any

ANNOTATORS = (
    "voice_activity", "loudness", "signal_to_noise", "language", "speaker_embedding", "prosody", "source_caption", "music_structure", "style",
    "caption_by_measures",
)  # fmt: skip
"""What a codec and a language model learn from. No recognizer: it would hear seven hours of speech, of which 95 % have a script."""
INSTRUCTIONS = {
    "separation_share": 0.02,
    "denoise_share": 0.02,
    "background_share": 0.02,
    "voice_share": 0.25,
    "piece_share": 0.1,
    "few_shot_share": 0.01,
    "codes_share": 0.02,
    "preference_share": 0.02,
    "max_examples_per_speaker": 100,
    "max_synthetic_share": 1.0,
}
"""Shares of clips in what a model of this size does not learn anyway; mixtures and noisy copies would have to be encoded as well. Eighteen
actors of a game say six thousand lines of it: a voice gives each task as many examples as one of the synthesized does, lest they drown
them. All of these may be learned to be spoken like: there is no other speech of a closed vocabulary."""
_UNDERSTANDING = {"asr": 4.0, "audio_caption": 2.0, "music_caption": 1.0, "audio_understanding": 1.0}
_GENERATION = {"tts": 4.0, "prompt_tts": 1.0, "text_to_sound": 1.0}
MIXTURES = {
    "stage1": _UNDERSTANDING,
    "stage2": _GENERATION,
    "stage3": {**_UNDERSTANDING, **_GENERATION, "auditory_sentences": 0.0, "text_only": 0.5, "*": 0.1},
    "stage4": {**_UNDERSTANDING, **_GENERATION, "auditory_sentences": 1.0, "text_only": 0.5, "*": 0.2},
}
"""Shares of the tokens of a stage, each times the square root of what its group has: to hear and to say words comes first."""
WORKERS = {"num_workers": 2, "min_workers": 1, "shard_over": 1, "num_threads": 1}
"""Two copies of one thread each: 0.60 steps a second of stage 3 where one of two threads has 0.50 (LOG.md)."""


def parameters(codec: str) -> dict[str, Any]:
    """Parameters of `everything`. `codec`: a folder that is taken as it is; empty: a codec is trained."""
    return {
        "annotate_corpus": {"annotators": list(ANNOTATORS)},
        **({"train_codec": {"start": codec}} if codec else {}),
        "build_multitask_data": INSTRUCTIONS,
        "train_stage": {"mixtures": MIXTURES, "code_vectors": True, **WORKERS},
    }
