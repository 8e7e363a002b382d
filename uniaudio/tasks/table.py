"""The table of all tasks: what is not in it does not exist."""

from uniaudio.tasks.codes import CODE_TASKS
from uniaudio.tasks.few_shot import FEW_SHOT_TASKS
from uniaudio.tasks.music import MUSIC_TASKS
from uniaudio.tasks.sentences import SENTENCE_TASKS
from uniaudio.tasks.sound import SOUND_TASKS
from uniaudio.tasks.speech import SPEECH_TASKS
from uniaudio.tasks.text import TEXT_TASKS

_ALL = (
    *TEXT_TASKS,
    *CODE_TASKS,
    *SPEECH_TASKS,
    *SOUND_TASKS,
    *MUSIC_TASKS,
    *FEW_SHOT_TASKS,
    *SENTENCE_TASKS,
)
TASKS = {task.name: task for task in _ALL}
"""Name -> declaration."""
assert len(TASKS) == len(_ALL), "two tasks share a name"
