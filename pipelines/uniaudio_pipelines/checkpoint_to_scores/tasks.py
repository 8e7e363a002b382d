"""The benchmark of a task: held-out examples, answered, and judged by every metric that the task declares.

Predictions, one line a sample; a metric is a numerator and a denominator:
    {"sample_id": "a3…", "sequence_id": "a3…", "recording": "5f…", "clip_ids": ["5f…"], "reference": "let's go", "answer": "lets go",
     "metrics": {"wer": [1, 2]}}
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.scores import Medium

from uniaudio.audio.frames import RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.loudness import limit_peak
from uniaudio.codec.codec import Codes
from uniaudio.lm.answer import Generated
from uniaudio.lm.grammar import RECONSTRUCTION, TEXT
from uniaudio.lm.score import score
from uniaudio.metrics.frechet import frechet_distance
from uniaudio.metrics.normalizers import normalizer_of
from uniaudio.metrics.table import METRICS
from uniaudio.run.request import plan_of_task
from uniaudio.sequence.layout import lay_out, text_segment
from uniaudio.tasks import TASKS, Task
from uniaudio_pipelines.checkpoint_to_scores.embeddings import EMBEDDING, embed
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.generation import answers
from uniaudio_pipelines.checkpoint_to_scores.likelihood import perplexities
from uniaudio_pipelines.checkpoint_to_scores.measures import MEASURES, Measure, Pair
from uniaudio_pipelines.checkpoint_to_scores.outcome import Estimate, Metric, Outcome
from uniaudio_pipelines.checkpoint_to_scores.samples import Sample, samples_of
from uniaudio_pipelines.checkpoint_to_scores.tools import MissingModelError, Models, Tools

_PERPLEXITY, _SETS = "perplexity", "sets"
_MORE_TOKENS = 16
"""Of punctuation and spaces that an answer may have beyond the longest choice."""
_MISSING = (ModuleNotFoundError, MissingModelError)
Measured = list[tuple[Pair | None, Pair | None]]
"""Of each sample the model's value and the baseline's; the baseline's only where the model has one."""


def task_scores(evaluation: Evaluation, outcome: Outcome, models: Models) -> None:
    """Every metric of the task that the benchmark is named like."""
    task = TASKS[outcome.benchmark]
    declared = [name for name in task.metrics if name != _PERPLEXITY]
    if _PERPLEXITY in task.metrics:
        perplexities(evaluation, outcome, [task.name])
    if not declared:
        return
    samples = samples_of(evaluation, outcome, task, evaluation.job.num_samples(task.name))
    if not samples:
        outcome.drop(task.name, "no_samples", f"no held-out example of {task.name} that can be judged")
        return
    answer_all(evaluation, outcome, samples, task, with_likelihoods="choice_accuracy" in declared)
    judge(outcome, samples, declared, Tools(evaluation, models, task), title=task.name)


def write_answers(evaluation: Evaluation, outcome: Outcome, task: Task, shard: int) -> None:
    """Keep a shard of a task's answers; what is dropped, the unit that scores the task says."""
    job = evaluation.job
    samples = samples_of(evaluation, outcome, task, min((shard + 1) * job.shard_size, job.num_samples(task.name)))
    prompts = [sample.prompt for sample in samples[shard * job.shard_size :] if sample.prompt is not None]
    answers(evaluation, prompts, plan_of_task(task), _longest_answer(evaluation, samples))
    outcome.dropped.clear()


def answer_all(
    evaluation: Evaluation,
    outcome: Outcome,
    samples: Sequence[Sample],
    task: Task,
    *,
    with_likelihoods: bool = False,
) -> None:
    """Fill in what the model answers: texts, audio, and how likely each choice is."""
    prompts = [sample.prompt for sample in samples if sample.prompt is not None]
    generated = answers(evaluation, prompts, plan_of_task(task), _longest_answer(evaluation, samples))
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


def _longest_answer(evaluation: Evaluation, samples: Sequence[Sample]) -> int | None:
    """Text tokens behind which an answer is none of the choices, whatever follows; None where any text may be answered."""
    if not all(sample.choices for sample in samples):
        return None
    choices = {choice for sample in samples for choice in sample.choices}
    return max((len(evaluation.tokenizer.encode(choice)) for choice in choices), default=0) + _MORE_TOKENS


def judge(
    outcome: Outcome,
    samples: Sequence[Sample],
    metrics: Sequence[str],
    tools: Tools,
    *,
    title: str,
    about: Mapping[str, Any] | None = None,
) -> None:
    """One row a metric, over all samples that it is defined for; `about`: what each line of predictions says besides."""
    tools.see(samples)
    measured = {name: _measure(outcome, samples, name, tools) for name in metrics if METRICS[name].needs != _SETS}
    said = dict(about or {})
    lines = [said | _line(one, place, measured) | _sounds(outcome, one) for place, one in enumerate(samples)]
    predictions = outcome.put_lines(lines)
    media = outcome.media_of(f"{title}: {samples[0].reference}"[:120], samples[0].made[0]) if samples[0].made else []
    for name in metrics:
        shown: list[Medium] = [] if outcome.scores else media
        if METRICS[name].needs == _SETS:
            _between_sets(outcome, samples, name, tools, predictions, shown)
        else:
            _add(outcome, samples, name, measured[name], predictions, shown)


def _measure(outcome: Outcome, samples: Sequence[Sample], name: str, tools: Tools) -> Measured:
    measure = MEASURES[name]
    found: Measured = []
    for sample in samples:
        try:
            value = measure.of(sample, tools)
            found.append((value, None if value is None else measure.of_baseline(sample, tools)))
        except (*_MISSING, UsageError) as error:
            outcome.drop(name, "not_installed", str(error))
            return [(None, None)] * len(samples)
        if value is None:
            outcome.drop(f"{sample.sample_id}/{name}", *_why_not(sample, name))
    return found


def _why_not(sample: Sample, name: str) -> tuple[str, str]:
    if name == "length_error" and sample.finished != "stop":
        return "not_finished", f"no end after {sample.num_frames} frames, the job's limit"
    if METRICS[name].needs == "choices":
        return "no_choices", "the question lists no choices"
    if METRICS[name].needs == "words" and not sample.reference.strip():
        return "no_given_text", "the source does not say what is spoken"
    return "no_score", "too short, silent, or without speech"


def _add(
    outcome: Outcome, samples: Sequence[Sample], name: str, measured: Measured, predictions: str, media: list[Medium]
) -> None:
    known = [(value, base, one) for (value, base), one in zip(measured, samples, strict=True) if value is not None]
    estimate = Estimate.of(
        [value[0] for value, _, _ in known],
        [value[1] for value, _, _ in known],
        recordings=[sample.recording for _, _, sample in known],
    )
    baselines = [base for _, base, _ in known if base is not None]
    weight = sum(base[1] for base in baselines)
    measure: Measure = MEASURES[name]
    metric = Metric(name=name, higher_is_better=METRICS[name].higher_is_better, baseline=measure.baseline)
    outcome.add(
        metric,
        samples[0].domain,
        estimate,
        baseline_value=sum(base[0] for base in baselines) / weight if weight else None,
        predictions=predictions,
        media=media,
    )


def _between_sets(
    outcome: Outcome, samples: Sequence[Sample], name: str, tools: Tools, predictions: str, media: list[Medium]
) -> None:
    """Beside white noise as long as each answer; the number of samples is part of what the value means."""
    recorded = np.stack([embed(sample.audio(sample.recorded[0])) for sample in samples])
    made, noise = (
        np.stack([embed(one) for one in clips])
        for clips in ([one.made[0] for one in samples], [tools.noise(len(one.made[0])) for one in samples])
    )
    value, baseline = frechet_distance(recorded, made), frechet_distance(recorded, noise)
    metric = Metric(name=f"{name}/{EMBEDDING}", higher_is_better=METRICS[name].higher_is_better, baseline="white noise")
    estimate = None if value is None else Estimate(value=value, num_samples=len(samples))
    outcome.add(metric, samples[0].domain, estimate, baseline_value=baseline, predictions=predictions, media=media)


def _line(sample: Sample, place: int, measured: dict[str, Measured]) -> dict[str, Any]:
    line: dict[str, Any] = {
        "sample_id": sample.sample_id,
        "recording": sample.recording,
        "clip_ids": sample.clip_ids,
        "reference": sample.reference,
        "metrics": {name: list(value) for name, values in measured.items() if (value := values[place][0]) is not None},
    }
    if sample.is_example:
        line["sequence_id"] = sample.sample_id
    if sample.recorded:
        frames = {"frames": sample.num_frames, "recorded_frames": sample.num_recorded_frames}
        return line | frames | {"finished": sample.finished}
    if "wer" in measured or "cer" in measured:
        line["normalizer"] = normalizer_of(sample.language)
    return line | {"answer": sample.answer} | ({"choices": list(sample.choices)} if sample.choices else {})


def _sounds(outcome: Outcome, sample: Sample) -> dict[str, list[str]]:
    """Blobs of what was made and of what was recorded, for a listener."""
    if not sample.made:
        return {}
    return {
        "made_audio": [outcome.put_audio(one) for one in sample.made],
        "recorded_audio": [outcome.put_audio(sample.audio(clip)) for clip in sample.recorded],
    }


def _codes_of(answer: Generated) -> list[Codes]:
    """The clips of an answer: each reconstruction segment, with the reasoning segment before it."""
    found, reasoning = [], np.zeros((0, 8), np.int16)
    for segment in answer.segments:
        if segment.kind == RECONSTRUCTION:
            found.append(Codes(reasoning, segment.ids, len(segment.ids) * RECONSTRUCTION_HOP))
        elif segment.kind != TEXT:
            reasoning = segment.ids
    return found


def _log_likelihoods(evaluation: Evaluation, sample: Sample, task: Task) -> list[float]:
    """A token of each choice, on average: long names are no less likely for being long."""
    wrapper = task.order[-1].wrapper
    grids = [lay_out([text_segment(choice, wrapper, evaluation.tokenizer, loss=True)]) for choice in sample.choices]
    assert sample.prompt is not None, "the model answers"
    rated = score(evaluation.model, sample.prompt, grids)
    return [one.text_log_likelihood / max(one.num_text, 1) for one in rated]
