"""Tasks on sound of any kind: captions, sounds from captions, questions."""

from uniaudio.tasks.filling import OneClip, described
from uniaudio.tasks.task import Task, audio, text

_DESCRIBED = OneClip(domains=("sound",), texts={"caption": described})

SOUND_TASKS = (
    Task(
        name="audio_caption",
        authors_name="audio_caption",
        order=(*audio("audio"), text("caption", "caption", loss=True)),
        metrics=("unigram_f1", "rouge_l", "caption_similarity"),
        needs=("sound_caption",),
        of_clip=_DESCRIBED,
    ),
    Task(
        name="text_to_sound",
        authors_name="TTA",
        order=(text("caption", "caption"), *audio("audio", loss=True)),
        metrics=("frechet",),
        drops_condition=True,
        needs=("sound_caption",),
        of_clip=_DESCRIBED,
    ),
    Task(
        name="audio_understanding",
        authors_name="audio_understanding",
        order=(text("question"), *audio("audio"), text("answer", loss=True)),
        metrics=("unigram_f1", "accuracy", "unparsed", "choice_accuracy"),
        needs=("audio",),
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
        metrics=("unigram_f1", "accuracy", "unparsed"),
        needs=("evidence",),
    ),
)
