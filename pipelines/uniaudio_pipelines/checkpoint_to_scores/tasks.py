"""The benchmark of a task: held-out examples, answered block by block, and judged by every metric that the task declares."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from uniaudio.audio.frames import RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.loudness import limit_peak
from uniaudio.codec.codec import Codes
from uniaudio.lm.answer import Generated
from uniaudio.lm.grammar import RECONSTRUCTION, TEXT
from uniaudio.lm.score import score
from uniaudio.run.request import plan_of_task
from uniaudio.sequence.layout import lay_out, text_segment
from uniaudio.tasks import TASKS, Task
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.generation import Wanted, answers
from uniaudio_pipelines.checkpoint_to_scores.job import Piece
from uniaudio_pipelines.checkpoint_to_scores.judging import Judging
from uniaudio_pipelines.checkpoint_to_scores.likelihood import perplexities
from uniaudio_pipelines.checkpoint_to_scores.outcome import Outcome
from uniaudio_pipelines.checkpoint_to_scores.samples import Sample, labels_of, piece_of, sample_blocks
from uniaudio_pipelines.checkpoint_to_scores.tools import Models, Tools

_PERPLEXITY = "perplexity"
_MORE_TOKENS = 16
"""Tokens of punctuation and spaces that an answer may have beyond the longest choice. Longest answers are multiples of it, so that
questions with choices of about one length are answered together."""


def task_scores(evaluation: Evaluation, outcome: Outcome, models: Models) -> None:
    """Every metric of the task that the benchmark is named like."""
    task = TASKS[outcome.benchmark]
    declared = [name for name in task.metrics if name != _PERPLEXITY]
    if _PERPLEXITY in task.metrics:
        perplexities(evaluation, outcome, [task.name])
    if not declared:
        return
    tools = Tools(evaluation, models, task)
    judging = Judging(outcome, declared, tools, title=task.name, about=lineage_of(evaluation, task.name))
    num_judged = 0
    for block in sample_blocks(evaluation, outcome, task, evaluation.job.num_samples(task.name)):
        answer_all(evaluation, outcome, block, task, with_likelihoods="choice_accuracy" in declared)
        judging.add(block)
        num_judged += len(block)
    if num_judged:
        judging.finish()
    else:
        outcome.drop(task.name, "no_samples", f"no held-out example of {task.name} that can be judged")


def lineage_of(evaluation: Evaluation, task: str) -> dict[str, Any]:
    """What predictions say of it: whether the task is new to the model. `is_task_new` is null where the lineage cannot tell."""
    seen = evaluation.num_seen(task)
    return {"num_task_examples_seen": seen, "is_task_new": None if seen is None else seen == 0}


def write_answers(evaluation: Evaluation, outcome: Outcome, pieces: Iterable[Piece]) -> None:
    """Keep the answers to pieces of tasks, all tasks in one batch after the other; what is dropped, the units that score the tasks say."""
    requests = []
    for piece in pieces:
        task = TASKS[piece.task]
        samples = piece_of(evaluation, outcome, task, piece.first, piece.last, labels_of(evaluation, task))
        requests += wanted_of(evaluation, samples, task)
    answers(evaluation, requests)
    outcome.dropped.clear()


def wanted_of(evaluation: Evaluation, samples: Sequence[Sample], task: Task) -> list[Wanted]:
    """What is to be generated; nothing for samples that another system answers."""
    plan = tuple(plan_of_task(task))
    return [
        Wanted(sample.prompt, plan, _longest_answer(evaluation, sample))
        for sample in samples
        if sample.prompt is not None
    ]


def answer_all(
    evaluation: Evaluation,
    outcome: Outcome,
    samples: Sequence[Sample],
    task: Task,
    *,
    with_likelihoods: bool = False,
) -> None:
    """Fill in what the model answers: texts, audio, and how likely each choice is."""
    generated = answers(evaluation, wanted_of(evaluation, samples, task))
    clips = [codes for answer in generated for codes in _codes_of(answer)]
    spoken = iter(evaluation.codec.decode(clips, steps=evaluation.job.decode_steps) if clips else [])
    for sample, answer in zip(samples, generated, strict=True):
        sample.made = [limit_peak(np.nan_to_num(next(spoken))) for _ in _codes_of(answer)]
        sample.num_frames = len(answer.reconstruction_codes)
        sample.finished = answer.finished
        texts = answer.all_of(TEXT)
        if texts:
            ids = [int(one) for one in texts[-1] if int(one) not in answer.text_specials]
            sample.answer = evaluation.tokenizer.decode(ids).strip()
        if sample.choices and with_likelihoods:
            sample.log_likelihoods = _log_likelihoods(evaluation, sample, task)
    outcome.audio_s += sum(len(samples) for sample in samples for samples in sample.made) / SAMPLE_RATE


def _longest_answer(evaluation: Evaluation, sample: Sample) -> int | None:
    """Text tokens behind which an answer is none of the sample's choices, whatever follows; None where any text may be answered."""
    if not sample.choices:
        return None
    longest = max(len(evaluation.tokenizer.encode(choice)) for choice in sample.choices)
    return (longest // _MORE_TOKENS + 2) * _MORE_TOKENS


def _codes_of(answer: Generated) -> list[Codes]:
    """The clips of an answer: each reconstruction segment, with the reasoning segment before it."""
    clips, reasoning = [], np.zeros((0, 8), np.int16)
    for segment in answer.segments:
        if segment.kind == RECONSTRUCTION:
            clips.append(Codes(reasoning, segment.ids, len(segment.ids) * RECONSTRUCTION_HOP))
        elif segment.kind != TEXT:
            reasoning = segment.ids
    return clips


def _log_likelihoods(evaluation: Evaluation, sample: Sample, task: Task) -> list[float]:
    """A token of each choice, on average: long names are no less likely for being long."""
    wrapper = task.order[-1].wrapper
    grids = [lay_out([text_segment(choice, wrapper, evaluation.tokenizer, loss=True)]) for choice in sample.choices]
    assert sample.prompt is not None, "the model answers"
    rated = score(evaluation.model, sample.prompt, grids)
    return [one.text_log_likelihood / max(one.num_text, 1) for one in rated]
