"""Audio without text: continuation of codes, and one stream of codes from the other."""

from uniaudio.tasks.filling import AUDIO, OneClip
from uniaudio.tasks.task import Slot, Task, audio

_DRILL = OneClip(domains=AUDIO, is_sampled=True)

CODE_TASKS = (
    Task(
        name="audio_only",
        authors_name="audio_only",
        order=audio("audio", loss=True),
        has_prompt=False,
        metrics=("perplexity",),
        needs=("audio",),
        of_clip=OneClip(domains=AUDIO),
    ),
    Task(
        name="reasoning_to_reconstruction",
        authors_name="reason_to_semantic",
        order=(Slot("reasoning", "audio"), Slot("reconstruction", "audio", loss=True)),
        metrics=("perplexity",),
        needs=("audio",),
        of_clip=_DRILL,
    ),
    Task(
        name="reconstruction_to_reasoning",
        authors_name="semantic_to_reason",
        order=(Slot("reconstruction", "audio"), Slot("reasoning", "audio", loss=True)),
        metrics=("perplexity",),
        needs=("audio",),
        of_clip=_DRILL,
    ),
    Task(
        name="reconstruction_copy",
        authors_name="semantic_copy",
        order=(*audio("audio"), Slot("reconstruction", "copy", loss=True)),
        metrics=("perplexity",),
        needs=("audio",),
        of_clip=_DRILL,
    ),
    Task(
        name="reasoning_copy",
        authors_name="reason_copy",
        order=(*audio("audio"), Slot("reasoning", "copy", loss=True)),
        metrics=("perplexity",),
        needs=("audio",),
        of_clip=_DRILL,
    ),
)
