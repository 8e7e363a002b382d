"""Pairs of answers to one request, of which one is better: what preference tuning learns from.

    preferred_asr    request "Write it down.", audio 5f1c…, transcript "let's go",
                     request "Write it down.", audio 5f1c…, rejected "let's know"

A task of pairs is made from the task whose answers are compared. Its row says everything once with the better answer, which carries
loss, then once more with the worse one, which carries none: it is as long as what a step computes with, and whoever trains on it as on
any other row learns the better answer alone. `uniaudio.training.lm.pairs` tells the halves apart.
"""

from dataclasses import replace

from uniaudio.tasks.music import MUSIC_TASKS
from uniaudio.tasks.prompts import choose_prompt, prompts_of
from uniaudio.tasks.sound import SOUND_TASKS
from uniaudio.tasks.speech import SPEECH_TASKS
from uniaudio.tasks.task import Task, prompt

GROUP = "preference"
REJECTED = "rejected"
"""Slot of the worse answer."""
_COMPARED = ("asr", "tts", "audio_caption", "music_caption", "audio_understanding")
_PREFIX = "preferred_"


def pairs_of(task: Task) -> Task:
    """The task of pairs of answers to `task`, whose answer is one text or one clip."""
    prompt_slots = (prompt("request"), *(slot for slot in task.order if not slot.loss))
    answer_slots = tuple(slot for slot in task.order if slot.loss)
    return Task(
        name=f"{_PREFIX}{task.name}",
        order=(
            *prompt_slots,
            *answer_slots,
            *prompt_slots,
            *(replace(slot, name=REJECTED, loss=False) for slot in answer_slots),
        ),
        group=GROUP,
        has_prompt=False,
        metrics=("perplexity",),
        needs=task.needs,
    )


PREFERENCE_TASKS = tuple(
    pairs_of(task) for task in (*SPEECH_TASKS, *SOUND_TASKS, *MUSIC_TASKS) if task.name in _COMPARED
)


def request_of(name: str, language: str, key: str) -> str:
    """What the task of pairs `name` asks, in the words of the task that it is made from; `key` (hex digits) decides which."""
    return choose_prompt(prompts_of(name.removeprefix(_PREFIX)), language, key)


def is_pair(task: Task) -> bool:
    """Whether its rows hold two answers."""
    return task.mixture == GROUP
