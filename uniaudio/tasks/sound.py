"""Tasks on sound of any kind: captions, sounds from captions, questions."""

from uniaudio.tasks.task import Task, audio, text

SOUND_TASKS = (
    Task(
        name="audio_caption",
        authors_name="audio_caption",
        order=(*audio("audio"), text("caption", "caption", loss=True)),
        metrics=("unigram_f1", "rouge_l"),
    ),
    Task(
        name="text_to_sound",
        authors_name="TTA",
        order=(text("caption", "caption"), *audio("audio", loss=True)),
        metrics=("frechet",),
        drops_condition=True,
    ),
    Task(
        name="audio_understanding",
        authors_name="audio_understanding",
        order=(text("question"), *audio("audio"), text("answer", loss=True)),
        metrics=("unigram_f1",),
    ),
    # The authors name this one and give it no format; the order is ours.
    Task(
        name="audio_understanding_with_reasoning",
        order=(
            text("question"),
            *audio("audio"),
            text("reasoning", "think", loss=True),
            text("answer", "answer", loss=True),
        ),
        metrics=("unigram_f1",),
    ),
)
