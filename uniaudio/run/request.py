"""What a task is given, checked and laid out: audio, texts, a voice to copy, examples of the task solved.

    Request(audio="clip.wav")                                      for `asr`
    Request(text="Good morning.", voice="speaker.wav")             for `prompt_tts`
    Request(audio="c.wav", examples=(("a.wav", "dog"), ("b.wav", "rain")))    for `sound_classification`, or any other

An example names its parts in the order of the task, as `Task.order` has them: `("clip.wav", "what is said")` for `asr`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.instructions import InstructionSegment

from uniaudio.tasks.conversation import CONVERSATION
from uniaudio.tasks.preference import is_pair
from uniaudio.tasks.task import Slot, Task

Audio = str | Path | np.ndarray
"""A file, or `[N]` float32 mono at 24 kHz."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """The inputs of one answer."""

    audio: Audio | None = None
    text: str = ""
    style: str = ""
    """How to speak, for `instruct_tts` and its like."""
    voice: Audio | None = None
    """A clip of the voice to speak in."""
    examples: tuple[tuple[Audio, ...], ...] = ()
    """Solved examples, shown before the question."""
    name: str = ""
    """Name of the request in results and progress."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A request as segments, and the clips they need."""

    segments: list[InstructionSegment]
    clips: dict[str, Audio]


def plan_of_task(task: Task) -> tuple[str, ...]:
    """Kinds of the segments that the model writes."""
    slots = task.slots(task.num_repeats[0])
    return tuple(slot.kind for slot in slots[len(_given(slots)) :])


def check_streams(task: Task) -> None:
    """UsageError where the answer is neither text alone nor one clip alone."""
    plan = plan_of_task(task)
    if set(plan) != {"text"} and (plan.count("reconstruction") != 1 or "text" in plan):
        raise UsageError(
            f"`task` must write one text or one clip to be streamed, but is {task.name} ({task.describe()})."
        )


def is_runnable(task: Task) -> bool:
    """Whether a task can be run in one go. Some tasks only train: auditory sentences have neither a question nor an end, and pairs are
    two answers already. A task with turns needs `uniaudio.run.conversation`."""
    return (task.has_prompt or not any(slot.repeats for slot in task.order)) and not is_pair(task)


def check_runnable(task: Task) -> None:
    if not is_runnable(task):
        how = "asked turn by turn" if task is CONVERSATION else "for training only"
        raise UsageError(f"`task` must have something to answer, but {task.name} is {how}.")


def check_examples(task: Task, examples: Sequence[Sequence[Audio]]) -> None:
    """UsageError where their number, or that of the parts of one, is not the task's."""
    repeating = [slot for slot in task.order if slot.repeats]
    names = list(dict.fromkeys(slot.name.removeprefix("example_") for slot in repeating or task.order))
    least, most = task.num_repeats
    if repeating and not least <= len(examples) <= most:
        raise UsageError(
            f"Task {task.name} needs {least} to {most} `examples` of {', '.join(names)}, but has {len(examples)}."
        )
    for example in examples:
        if len(example) != len(names):
            raise UsageError(
                f"An example of task {task.name} must hold {', '.join(names)}, but holds {len(example)} values."
            )


def condition_of(task: Task, request: Request, *, seed: int, language: str) -> Condition:
    """The segments up to where the answer begins; UsageError where the task needs something else."""
    check_runnable(task)
    has_repeats = any(slot.repeats for slot in task.order)
    check_examples(task, request.examples)
    slots = _given(task.slots(len(request.examples) if has_repeats else 1))
    texts, clips = _fill(task, request, slots)
    if has_repeats:
        _fill_examples(task, request.examples, slots, texts, clips)
    segments = task.prompt_segments(texts=texts, clips={name: name for name in clips}, seed=seed, language=language)
    if has_repeats or not request.examples:
        return Condition(segments, clips)
    prompt = segments[:1] if task.has_prompt else []
    example_segments: list[InstructionSegment] = []
    for number, example in enumerate(request.examples, start=1):
        parts, example_clips = _example_segments(task, example, number)
        example_segments += parts
        clips |= example_clips
    return Condition([*prompt, *example_segments, *segments[len(prompt) :]], clips)


def main_text(task: Task) -> Slot | None:
    """The slot that `text` fills: the last text given that is not a style."""
    texts = [slot for slot in _given(task.slots(task.num_repeats[0])) if slot.kind == "text" and not slot.repeats]
    plain = [slot for slot in texts if slot.name != "style" and not slot.name.startswith("example")]
    return plain[-1] if plain else None


def needs_audio(task: Task) -> bool:
    return any(_is_main_audio(slot) for slot in _given(task.slots(task.num_repeats[0])))


def _given(slots: Sequence[Slot]) -> list[Slot]:
    return list(slots[: next(index for index, slot in enumerate(slots) if slot.loss)])


def _is_main_audio(slot: Slot) -> bool:
    return slot.kind in ("reasoning", "reconstruction") and not slot.name.startswith("example")


def continues_text(task: Task) -> bool:
    """Whether `text` is the beginning of the answer itself."""
    return not task.has_prompt and task.order[0].kind == "text"


def _fill(task: Task, request: Request, slots: Sequence[Slot]) -> tuple[dict[str, str], dict[str, Audio]]:
    """Slot name -> text, slot name -> clip."""
    texts: dict[str, str] = {}
    clips: dict[str, Audio] = {}
    for slot in slots:
        if slot.name.startswith("example"):
            continue
        if slot.kind == "text":
            is_style = slot.name == "style"
            texts[slot.name] = _text(task, "style" if is_style else "text", request.style if is_style else request.text)
        else:
            is_voice = slot.kind == "audio_prompt"
            value = request.voice if is_voice else request.audio
            if value is None:
                raise UsageError(
                    f"Task {task.name} needs {'a clip in `voice`' if is_voice else '`audio`'}, but has none."
                )
            clips[slot.name] = value
    _refuse_unused(task, request, texts, clips)
    return texts, clips


def _fill_examples(
    task: Task,
    examples: Sequence[tuple[Audio, ...]],
    slots: Sequence[Slot],
    texts: dict[str, str],
    clips: dict[str, Audio],
) -> None:
    """The repeating slots of a few-shot task."""
    kinds = {slot.name: slot.kind for slot in slots if slot.name.startswith("example")}
    for number, example in enumerate(examples, start=1):
        names = [name for name in kinds if name.endswith(f"_{number}")]
        for name, value in zip(names, example, strict=True):
            if kinds[name] == "text":
                texts[name] = _text(task, "examples", str(value))
            else:
                clips[name] = value


def _example_segments(
    task: Task, example: tuple[Audio, ...], number: int
) -> tuple[list[InstructionSegment], dict[str, Audio]]:
    """One solved example of a task that has no slots for it: all its segments, in the task's order."""
    names = list(dict.fromkeys(slot.name for slot in task.order))
    values = dict(zip(names, example, strict=True))
    segments: list[InstructionSegment] = []
    clips: dict[str, Audio] = {}
    for slot in task.order:
        if slot.kind == "text":
            text = _text(task, "examples", str(values[slot.name]))
            segments.append(InstructionSegment(kind="text", loss=False, text=text, wrapper=slot.wrapper))
        else:
            clip = f"example {number} {slot.name}"
            clips[clip] = values[slot.name]
            segments.append(InstructionSegment(kind=slot.kind, loss=False, clip_id=clip))
    return segments, clips


def _refuse_unused(task: Task, request: Request, texts: Mapping[str, str], clips: Mapping[str, Audio]) -> None:
    """What a task does not use is a mistake of the caller, not something to drop silently."""
    names = {*texts, *clips}
    has_voice = any(slot.kind == "audio_prompt" for slot in task.order)
    main = main_text(task)
    takes_text = continues_text(task) or (main is not None and main.name in names)
    unused = [
        name
        for name, is_given, is_used in (
            ("audio", request.audio is not None, needs_audio(task)),
            ("text", bool(request.text), takes_text),
            ("style", bool(request.style), "style" in names),
            ("voice", request.voice is not None, has_voice),
        )
        if is_given and not is_used
    ]
    if unused:
        raise UsageError(f"Task {task.name} uses no `{unused[0]}` ({task.describe()}).")


def _text(task: Task, argument: str, value: str) -> str:
    if not value.strip():
        raise UsageError(f"Task {task.name} needs words in `{argument}`, but it is empty.")
    return value.strip()
