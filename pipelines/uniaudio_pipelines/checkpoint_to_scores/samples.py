"""One held-out example of a task beside what the model answered: everything that a metric may look at.

A text is compared with a reference that people gave: the words of recognition are the source's own (`given_text`), whatever the
instruction says, so that no model is scored against another recognizer. A copy of a training clip is no sample.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction, InstructionSegment

from uniaudio.sequence.layout import Grid
from uniaudio.tasks import TASKS, Task
from uniaudio.tasks.questions import NUMBER_WORDS, choices_in
from uniaudio_pipelines.checkpoint_to_scores.declared import SPOKEN_WRAPPERS, inputs_of
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation, Example
from uniaudio_pipelines.checkpoint_to_scores.outcome import Outcome

ASKED = 16
"""Blocks of examples that are looked at, each as many as are wanted."""
_LEAST_BLOCK, _MOST_BLOCK = 16, 1_024
ANSWERED_TOGETHER = 64
"""Samples whose audio is in memory at once."""
Audio = Callable[[str], np.ndarray]
"""Id of a clip or recipe -> `[N]` float32 at 24 kHz."""


@dataclass(kw_only=True, slots=True)
class Sample:
    """Fields behind `domain` are filled by the answer."""

    sample_id: str
    recording: str
    prompt: Grid | None
    """Prompt of the model; None where another system answered."""
    clip_ids: list[str]
    reference: str
    """The text that was to be answered, or the words that were to be spoken."""
    language: str | None
    choices: tuple[str, ...]
    """Empty where any text may be answered."""
    recorded: list[str]
    """Clips that the answer is beside, one for each that is made."""
    source: str
    """The clip that is repaired or taken apart; empty where there is none."""
    voice: str
    """The clip whose voice is to be heard; empty where there is none."""
    domain: str
    audio: Audio
    instruction: str = ""
    """Words on how to speak; empty where there are none."""
    is_example: bool = True
    """Whether it is a row of `sequences`: what is made of a forgotten source is found by that."""
    answer: str = ""
    log_likelihoods: list[float] = field(default_factory=list)
    """Log likelihood of each of `choices`, in their order."""
    made: list[np.ndarray] = field(default_factory=list)
    """`[N]` float32 at 24 kHz each."""
    num_frames: int = 0
    num_recorded_frames: int = 0
    """Reconstruction frames made and recorded."""
    finished: str = "stop"


def sample_blocks(evaluation: Evaluation, outcome: Outcome, task: Task, count: int) -> Iterator[list[Sample]]:
    """The first `count` held-out examples of a task that can be judged, in id order, a block at a time; the others looked at are dropped with
    a reason."""
    labels = labels_of(evaluation, task)
    num_found = 0
    looked_at = evaluation.example_blocks(task.name, min(max(count, _LEAST_BLOCK), _MOST_BLOCK))
    num_blocks = ASKED * -(-count // _MOST_BLOCK)
    for block in islice(looked_at, num_blocks):
        judged = _judged(evaluation, outcome, block, labels, count - num_found)
        num_found += len(judged)
        yield from (judged[first : first + ANSWERED_TOGETHER] for first in range(0, len(judged), ANSWERED_TOGETHER))
        if num_found == count:
            return


def piece_of(
    evaluation: Evaluation, outcome: Outcome, task: Task, first: int, last: int, labels: tuple[str, ...]
) -> list[Sample]:
    """Samples that can be judged among the held-out examples of a task, from number `first` to before `last` in id order."""
    block = next(evaluation.example_blocks(task.name, last - first, first=first), [])
    return _judged(evaluation, outcome, block, labels, last - first)


def _judged(
    evaluation: Evaluation, outcome: Outcome, block: Sequence[Example], labels: tuple[str, ...], count: int
) -> list[Sample]:
    instructions = evaluation.instructions(example.sequence.sequence_id for example in block)
    clips = evaluation.annotated(clip for row in instructions.values() for clip in row.clip_ids)
    copies = evaluation.copies_of_training(clips.values())
    samples: list[Sample] = []
    for example in block:
        row = instructions.get(example.sequence.sequence_id)
        if row is None or len(samples) == count:
            continue
        if copied := sorted(copies.intersection(row.clip_ids)):
            outcome.drop(row.instruction_id, "copy", f"clip {copied[0]} is a copy of one that is trained on")
            continue
        sample = _sample(evaluation, example, row, clips, labels)
        if not sample.reference.strip() and _needs_words(TASKS[row.task]):
            outcome.drop(row.instruction_id, "no_given_text", "the source does not say what is spoken")
            continue
        samples.append(sample)
    return samples


def _sample(
    evaluation: Evaluation, example: Example, row: Instruction, clips: dict[str, Annotated], labels: tuple[str, ...]
) -> Sample:
    task = TASKS[row.task]
    answered = [segment for segment in row.segments if segment.loss]
    given = [segment for segment in row.segments if not segment.loss]
    recorded = list(dict.fromkeys(segment.clip_id for segment in answered if segment.clip_id))
    heard = [segment.clip_id for segment in given if segment.kind in ("reasoning", "reconstruction")]
    shown = [segment.clip_id for segment in given if segment.kind == "audio_prompt"]
    reference = reference_of(task, row, clips)
    about = next((clips[clip] for clip in row.clip_ids if clip in clips), None)
    question = next((one.text for one in given if one.kind == "text" and not one.wrapper), "")
    return Sample(
        sample_id=row.instruction_id,
        recording=example.recording,
        prompt=example.prompt,
        clip_ids=list(row.clip_ids),
        reference=reference,
        language=about.language if about else None,
        choices=choices_of(question, reference) or labels,
        recorded=recorded,
        source=heard[-1] if heard and recorded else "",
        voice=shown[0] if shown else (recorded[0] if recorded else ""),
        domain=about.domain if about else "text",
        audio=lambda clip: evaluation.clip_audio(clip, row),
        instruction=next((one.text for one in given if one.wrapper == "caption"), "") if recorded else "",
        num_recorded_frames=evaluation.recorded_frames(example.sequence) if recorded else 0,
    )


def reference_of(task: Task, row: Instruction, clips: dict[str, Annotated]) -> str:
    """What is to be answered or spoken; empty where only a recognizer says it."""
    answered = [segment for segment in row.segments if segment.loss]
    if answered[-1].kind == "text":
        is_recognized = answered[-1].wrapper == "transcription"
        return _given(row.clip_ids, clips) if is_recognized else answered[-1].text
    to_be_said = [one.text for one in row.segments if not one.loss and one.wrapper in SPOKEN_WRAPPERS]
    if to_be_said:
        # Sounds behind the words are described in brackets.
        return to_be_said[0].rpartition(" [")[0] or to_be_said[0]
    return _given([answered[-1].clip_id], clips) if "words" in inputs_of(task) else ""


def _given(clip_ids: Sequence[str], clips: dict[str, Annotated]) -> str:
    given = [clips[clip].given_text for clip in clip_ids if clip in clips]
    return (given[0] or "").strip() if len(given) == 1 else ""


def choices_of(question: str, reference: str) -> tuple[str, ...]:
    """The choices of a question, where the reference is one of them; numbers where a number is asked for."""
    listed = choices_in(question)
    if reference in listed:
        return listed
    return next((words for words in NUMBER_WORDS.values() if not listed and question and reference in words), ())


def labels_of(evaluation: Evaluation, task: Task) -> tuple[str, ...]:
    """All labels in the examples of a task, by name; empty where the task is not shown by labelled examples."""
    if not any(slot.name == "example_label" for slot in task.order):
        return ()
    return tuple(sorted({text for row in evaluation.task_instructions(task.name) for text in _answers(row.segments)}))


def _answers(segments: Sequence[InstructionSegment]) -> Iterator[str]:
    return (segment.text for segment in segments if segment.kind == "text" and segment.loss)


def _needs_words(task: Task) -> bool:
    return task.order[-1].is_text and "words" in inputs_of(task)
