"""Plain text: no prompt, every token is a target."""

from uniaudio.tasks.filling import OneClip, passage_of
from uniaudio.tasks.task import Task, text

TEXT_TASKS = (
    Task(
        name="text_only",
        authors_name="text_only",
        order=(text("passage", loss=True),),
        has_prompt=False,
        metrics=("perplexity",),
        needs=("text",),
        of_clip=OneClip(domains=("text",), texts={"passage": passage_of}),
    ),
)
