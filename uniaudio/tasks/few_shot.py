"""Tasks that are shown by one to three examples in the prompt; none of them has a format of its own in the authors' code.

They are of the group of the auditory sentences: these teach a model to use its context, and a model that was trained on any of them may be
asked, as the paper does.
"""

from uniaudio.tasks.sentences import GROUP
from uniaudio.tasks.task import Task, audio, repeated, text

_CONVERT = (
    *repeated(*audio("example_source"), *audio("example_target")),
    *audio("source"),
    *audio("target", loss=True),
)
_CLASSIFY = (*repeated(*audio("example"), text("example_label")), *audio("audio"), text("label", loss=True))
_SHOTS = (1, 3)

FEW_SHOT_TASKS = (
    Task(
        name="voice_conversion",
        order=_CONVERT,
        group=GROUP,
        num_repeats=_SHOTS,
        metrics=("speaker_similarity", "wer", "dnsmos"),
        needs=("voice",),
    ),
    Task(
        name="speech_enhancement",
        order=_CONVERT,
        group=GROUP,
        num_repeats=_SHOTS,
        metrics=("si_sdr", "pesq", "stoi", "wer"),
        needs=("audio",),
    ),
    Task(
        name="emotion_recognition",
        order=_CLASSIFY,
        group=GROUP,
        num_repeats=_SHOTS,
        metrics=("accuracy", "unparsed", "choice_accuracy"),
        needs=("emotion",),
    ),
    Task(
        name="sound_classification",
        order=_CLASSIFY,
        group=GROUP,
        num_repeats=_SHOTS,
        metrics=("accuracy", "unparsed", "choice_accuracy"),
        needs=("sound_class",),
    ),
)
