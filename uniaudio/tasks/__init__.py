"""Every task the model can be trained on. START HERE: `task`; then `table`."""

from uniaudio.tasks.table import TASKS
from uniaudio.tasks.task import Slot, Task

__all__ = ["TASKS", "Slot", "Task"]
