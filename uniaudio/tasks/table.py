"""The table of all tasks: what is not in it does not exist. And the short names that a command line takes."""

import difflib

from uniaudio_schemas.errors import UsageError

from uniaudio.tasks.codes import CODE_TASKS
from uniaudio.tasks.conversation import CONVERSATION
from uniaudio.tasks.few_shot import FEW_SHOT_TASKS
from uniaudio.tasks.music import MUSIC_TASKS
from uniaudio.tasks.preference import PREFERENCE_TASKS
from uniaudio.tasks.sentences import SENTENCE_TASKS
from uniaudio.tasks.sound import SOUND_TASKS
from uniaudio.tasks.speech import SPEECH_TASKS
from uniaudio.tasks.task import Task
from uniaudio.tasks.text import TEXT_TASKS

_ALL = (
    *TEXT_TASKS,
    *CODE_TASKS,
    *SPEECH_TASKS,
    *SOUND_TASKS,
    *MUSIC_TASKS,
    *FEW_SHOT_TASKS,
    *SENTENCE_TASKS,
    CONVERSATION,
    *PREFERENCE_TASKS,
)
TASKS = {task.name: task for task in _ALL}
"""Name -> declaration."""
assert len(TASKS) == len(_ALL), "two tasks share a name"

ALIASES = {
    "transcribe": "asr",
    "yue_asr": "cantonese_asr",
    "yue_tts": "cantonese_tts",
    "say": "tts",
    "clone": "prompt_tts",
    "instruct": "instruct_tts",
    "edit": "speech_edit",
    "denoise": "speech_denoise",
    "enhance": "speech_enhancement",
    "separate": "speech_separation",
    "s2t": "speech_to_text",
    "s2s": "speech_to_speech",
    "vc": "voice_conversion",
    "emotion": "emotion_recognition",
    "caption": "audio_caption",
    "qa": "audio_understanding",
    "think": "audio_understanding_with_reasoning",
    "tta": "text_to_sound",
    "sound": "text_to_sound",
    "classify": "sound_classification",
    "ttm": "text_to_music",
    "music": "text_to_music",
    "lyrics": "lyric_recognition",
    "lts": "lyrics_to_song",
    "song": "lyrics_to_song",
    "text": "text_only",
}
"""Short name -> name."""
assert not set(ALIASES) & set(TASKS) and set(ALIASES.values()) <= set(TASKS), "an alias must lead to a task"


def find_task(name: str) -> Task:
    """The task of that name or alias; UsageError with the nearest names where there is none."""
    key = name.strip().lower().replace("-", "_")
    task = TASKS.get(ALIASES.get(key, key))
    if task is None:
        near = difflib.get_close_matches(key, [*TASKS, *ALIASES], n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(f"`task` must be one of those that `uniaudio tasks` lists, but is {name!r}.{hint}")
    return task
