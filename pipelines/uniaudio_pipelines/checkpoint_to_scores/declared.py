"""Which benchmarks there are: one for each task that declares metrics, and those that are of no task. Light: no torch.

    inputs_of(TASKS["tts"])      {"tokens", "words", "made", "clips", "sets", "lengths"}

A task whose metrics cannot be computed from its answers is a `UsageError` when this module is imported: before a job is planned.
"""

from uniaudio.metrics.table import check_metrics
from uniaudio.tasks import TASKS, Task

SPOKEN_WRAPPERS = ("transcription", "lyric")
"""Wrappers of a text that holds the words of a clip."""


def inputs_of(task: Task) -> frozenset[str]:
    """What answers to a task have, of `metrics.table.NEEDS`."""
    answered = [slot for slot in task.order if slot.loss]
    is_answer = (task.has_prompt or not task.order[0].loss) and not any(slot.repeats for slot in answered)
    if not is_answer:
        return frozenset({"tokens"})
    prompt_slots = [slot for slot in task.order if not slot.loss]
    if answered[-1].is_text:
        is_spoken = answered[-1].wrapper in SPOKEN_WRAPPERS
        has_choices = any(slot.name in ("question", "example_label") for slot in prompt_slots)
        return frozenset({"tokens", "text"} | _where("words", is_spoken) | _where("choices", has_choices))
    # What is repaired says what its recording says; elsewhere the words are in the prompt.
    has_words = any(slot.wrapper in SPOKEN_WRAPPERS for slot in prompt_slots) or answered[-1].name == "target"
    has_voice = any(slot.kind == "audio_prompt" or slot.name == "example_target" for slot in prompt_slots)
    has_instruction = any(slot.name == "style" for slot in prompt_slots)
    inputs = {"tokens", "made", "clips", "sets", "lengths"}
    return frozenset(
        inputs | _where("words", has_words) | _where("voice", has_voice) | _where("instruction", has_instruction)
    )


def _where(need: str, is_there: bool) -> set[str]:
    return {need} if is_there else set()


for _task in TASKS.values():
    check_metrics(_task.name, _task.metrics, inputs_of(_task))

TASK_BENCHMARKS = tuple(TASKS)
"""One unit each, named like the task."""
ANSWERED = tuple(task.name for task in TASKS.values() if set(task.metrics) != {"perplexity"})
"""Tasks whose answers are judged, not only their tokens."""
BENCHMARKS = (*TASK_BENCHMARKS, "codec", "perplexity", "held_out_loss", "beside_chance", "starter")
