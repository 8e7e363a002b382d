"""Every task the model can be trained on. START HERE: `task`; then `table`."""

from uniaudio.tasks.table import ALIASES, TASKS, find_task
from uniaudio.tasks.task import Slot, Task

__all__ = ["ALIASES", "TASKS", "Slot", "Task", "find_task"]
