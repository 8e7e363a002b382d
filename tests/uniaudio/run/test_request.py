"""What a task is given: every task can be asked, and what does not fit is named."""

import numpy as np
import pytest
from uniaudio_schemas.errors import UsageError

from uniaudio.run.request import Request, condition_of, continues_text, main_text, needs_audio, plan_of_task
from uniaudio.tasks import ALIASES, TASKS, Task, find_task

CLIP = np.zeros(4800, np.float32)
FOR_TRAINING = [
    task for task in TASKS.values() if task.name.startswith(("sentence_", "preferred_")) or task.name == "conversation"
]
RUNNABLE = [task for task in TASKS.values() if task not in FOR_TRAINING]


def a_request(task: Task) -> Request:
    """Everything that the task uses, and nothing else."""
    names = {slot.name for slot in task.order}
    shown: tuple[tuple[np.ndarray | str, ...], ...] = ()
    if any(slot.repeats for slot in task.order):
        parts = list(dict.fromkeys((slot.name, slot.kind == "text") for slot in task.order if slot.repeats))
        shown = (tuple("a label" if is_text else CLIP for _, is_text in parts),)
    return Request(
        audio=CLIP if needs_audio(task) else None,
        text="some words" if main_text(task) or continues_text(task) else "",
        style="calm" if "style" in names else "",
        voice=CLIP if "voice" in names else None,
        examples=shown,
    )


@pytest.mark.parametrize("task", RUNNABLE, ids=lambda task: task.name)
def test_every_task_can_be_asked_and_its_condition_is_its_order_up_to_the_answer(task: Task) -> None:
    condition = condition_of(task, a_request(task), seed=0, language="en")
    kinds = [segment.kind for segment in condition.segments]
    slots = [slot.kind for slot in task.slots(task.num_repeats[0])]
    given = kinds[1:] if task.has_prompt else kinds
    assert [*given, *plan_of_task(task)] == slots
    assert not any(segment.loss for segment in condition.segments)
    assert {segment.clip_id for segment in condition.segments if segment.clip_id} == set(condition.clips)


@pytest.mark.parametrize("task", FOR_TRAINING, ids=lambda task: task.name)
def test_sentences_and_conversations_are_for_training_only(task: Task) -> None:
    with pytest.raises(UsageError, match=f"but {task.name} is (for training only|asked turn by turn)"):
        condition_of(task, Request(audio=CLIP, text="some words"), seed=0, language="en")


@pytest.mark.parametrize("task", RUNNABLE, ids=lambda task: task.name)
def test_behind_its_first_written_segment_a_task_gives_nothing_more(task: Task) -> None:
    slots = task.slots(task.num_repeats[0])
    first = next(index for index, slot in enumerate(slots) if slot.loss)
    assert all(slot.loss for slot in slots[first:])


def test_solved_examples_stand_between_prompt_and_question_in_the_order_of_the_task() -> None:
    request = Request(audio=CLIP, examples=((CLIP, "one"), (CLIP + 1, "two")))
    condition = condition_of(TASKS["asr"], request, seed=0, language="en")
    kinds = [segment.kind for segment in condition.segments]
    assert kinds == ["prompt", *["reasoning", "reconstruction", "text"] * 2, "reasoning", "reconstruction"]
    shown = [(segment.text, segment.wrapper) for segment in condition.segments if segment.kind == "text"]
    assert shown == [("one", "transcription"), ("two", "transcription")]
    assert [float(samples[0]) for samples in condition.clips.values()] == [0.0, 0.0, 1.0]


def test_examples_of_a_few_shot_task_fill_its_numbered_slots() -> None:
    request = Request(audio=CLIP, examples=((CLIP, "dog"), (CLIP, "rain")))
    condition = condition_of(TASKS["sound_classification"], request, seed=0, language="en")
    assert sorted(condition.clips) == ["audio", "example_1", "example_2"]
    assert [segment.text for segment in condition.segments if segment.kind == "text"] == ["dog", "rain"]


@pytest.mark.parametrize(
    ("task", "request_", "message"),
    [
        ("asr", Request(), "Task asr needs `audio`"),
        ("tts", Request(text="  "), "needs words in `text`, but it is empty"),
        ("instruct_tts", Request(text="hi"), "needs words in `style`"),
        ("prompt_tts", Request(text="hi"), "needs a clip in `voice`"),
        ("asr", Request(audio=CLIP, text="hi"), "Task asr uses no `text`"),
        ("tts", Request(audio=CLIP, text="hi"), "Task tts uses no `audio`"),
        ("voice_conversion", Request(audio=CLIP), "needs 1 to 3 `examples` of source, target, but has 0"),
        (
            "vc",
            Request(audio=CLIP, examples=((CLIP, CLIP),) * 4),
            "needs 1 to 3 `examples` of source, target, but has 4",
        ),
        ("enhance", Request(audio=CLIP, examples=((CLIP,),)), "must hold source, target, but holds 1 values"),
        ("asr", Request(audio=CLIP, examples=((CLIP,),)), "must hold audio, transcript, but holds 1 values"),
        ("sentence_consecutive", Request(), "is for training only"),
    ],
)
def test_a_request_that_does_not_fit_is_named(task: str, request_: Request, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        condition_of(find_task(task), request_, seed=0, language="en")


@pytest.mark.parametrize(("alias", "name"), [*ALIASES.items(), ("ASR", "asr"), ("Speech-Denoise", "speech_denoise")])
def test_an_alias_leads_to_its_task(alias: str, name: str) -> None:
    assert find_task(alias).name == name


def test_an_unknown_task_gets_the_nearest_names() -> None:
    with pytest.raises(UsageError, match=r"but is 'captoin'. Did you mean caption"):
        find_task("captoin")
