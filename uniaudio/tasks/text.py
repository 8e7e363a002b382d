"""Plain text: no prompt, every token is a target."""

from uniaudio.tasks.task import Task, text

TEXT_TASKS = (
    Task(
        name="text_only",
        authors_name="text_only",
        order=(text("passage", loss=True),),
        has_prompt=False,
        metrics=("perplexity",),
    ),
)
