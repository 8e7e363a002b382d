"""Tasks: what an example of each looks like. START HERE: `table`."""

from uniaudio.tasks.table import TASKS
from uniaudio.tasks.task import Task

__all__ = ["TASKS", "Task"]
