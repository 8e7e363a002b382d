"""Tasks that are shown by one to three examples in the prompt; none of them has a format of its own in the authors' code."""

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
        num_repeats=_SHOTS,
        metrics=("speaker_similarity", "wer"),
    ),
    Task(
        name="speech_enhancement",
        order=_CONVERT,
        num_repeats=_SHOTS,
        metrics=("pesq", "stoi", "wer"),
    ),
    Task(name="emotion_recognition", order=_CLASSIFY, num_repeats=_SHOTS, metrics=("accuracy",)),
    Task(name="sound_classification", order=_CLASSIFY, num_repeats=_SHOTS, metrics=("accuracy",)),
)
