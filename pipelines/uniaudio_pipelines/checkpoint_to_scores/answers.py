"""Benchmarks whose answer is text: speech recognition against what the source says is spoken, captions against what
they were made from.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import mean

from uniaudio_schemas.kinds.instructions import Instruction

from uniaudio.lm.generate import generate
from uniaudio.metrics.caption import rouge_l, unigram_f1
from uniaudio.metrics.wer import character_errors, word_errors
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation, Example
from uniaudio_pipelines.checkpoint_to_scores.outcome import Estimate, Metric, Outcome

_ERROR_RATES = {"wer": word_errors, "cer": character_errors}
_OVERLAPS = {"unigram_f1": unigram_f1, "rouge_l": rouge_l}
_ASKED = 16
"""Examples looked at for one with a given text."""
_DOMAINS = {"audio_caption": "sound", "music_caption": "music"}


def recognition(evaluation: Evaluation, outcome: Outcome) -> None:
    """Word and character error rates of task `asr`, only on clips with a given text: another recognizer's words are
    no reference.
    """
    examples = evaluation.examples("asr", _ASKED * evaluation.job.num_answers)
    instructions = evaluation.instructions(example.sequence.sequence_id for example in examples)
    clips = evaluation.annotated(clip for row in instructions.values() for clip in row.clip_ids)
    chosen: list[tuple[Example, str]] = []
    for example in examples:
        row = instructions.get(example.sequence.sequence_id)
        given = [clips[clip].given_text for clip in row.clip_ids if clip in clips] if row else []
        if len(given) != 1 or not (given[0] or "").strip():
            outcome.drop(example.sequence.sequence_id, "no_given_text", "the source does not say what is spoken")
        elif len(chosen) < evaluation.job.num_answers:
            chosen.append((example, given[0] or ""))
    if not chosen:
        outcome.drop("asr", "no_samples", "no held-out clip has a given text")
        return
    references = [reference for _, reference in chosen]
    answers = answer(evaluation, [example for example, _ in chosen])
    predictions = _predictions(outcome, [example for example, _ in chosen], references, answers, _ERROR_RATES)
    for name, errors in _ERROR_RATES.items():
        counts = [errors(reference, hypothesis) for reference, hypothesis in zip(references, answers, strict=True)]
        recordings = [example.recording for example, _ in chosen]
        estimate = Estimate.of([wrong for wrong, _ in counts], [length for _, length in counts], recordings=recordings)
        metric = Metric(name=name, higher_is_better=False, baseline="empty answer")
        outcome.add(metric, "speech", estimate, baseline_value=1.0, predictions=predictions)


def captions(evaluation: Evaluation, outcome: Outcome) -> None:
    """Overlap with the reference caption, beside that of the most frequent caption of the training split."""
    task = outcome.benchmark
    examples = evaluation.examples(task, evaluation.job.num_answers)
    instructions = evaluation.instructions(example.sequence.sequence_id for example in examples)
    examples = [example for example in examples if example.sequence.sequence_id in instructions]
    if not examples:
        outcome.drop(task, "no_samples", f"no held-out example of {task}")
        return
    references = [answer_text(instructions[example.sequence.sequence_id]) for example in examples]
    counted = Counter(sorted(answer_text(row) for row in evaluation.training_instructions(task)))
    frequent = counted.most_common(1)[0][0] if counted else ""
    answers = answer(evaluation, examples)
    predictions = _predictions(outcome, examples, references, answers, _OVERLAPS)
    recordings = [example.recording for example in examples]
    for name, overlap in _OVERLAPS.items():
        values = [overlap(reference, hypothesis) for reference, hypothesis in zip(references, answers, strict=True)]
        baseline_value = mean(overlap(reference, frequent) for reference in references)
        metric = Metric(name=name, higher_is_better=True, baseline="most frequent training caption")
        estimate = Estimate.of(values, recordings=recordings)
        outcome.add(metric, _DOMAINS[task], estimate, baseline_value=baseline_value, predictions=predictions)


def answer(evaluation: Evaluation, examples: Sequence[Example]) -> list[str]:
    """The model's text answers, the likeliest token at each step."""
    generated = generate(
        evaluation.model,
        [example.prompt for example in examples],
        vocabulary=evaluation.vocabulary,
        mode="text",
        max_text=evaluation.job.max_text,
    )
    return [evaluation.tokenizer.decode(one.text_ids).strip() for one in generated]


def answer_text(row: Instruction) -> str:
    """What the example teaches to say."""
    return " ".join(segment.text for segment in row.segments if segment.kind == "text" and segment.loss)


def _predictions(
    outcome: Outcome,
    examples: Sequence[Example],
    references: Sequence[str],
    answers: Sequence[str],
    metrics: Mapping[str, Callable[[str, str], object]],
) -> str:
    return outcome.put_lines(
        [
            {
                "sequence_id": example.sequence.sequence_id,
                "clip_ids": example.sequence.clip_ids,
                "reference": reference,
                "answer": hypothesis,
                **{name: metric(reference, hypothesis) for name, metric in metrics.items()},
            }
            for example, reference, hypothesis in zip(examples, references, answers, strict=True)
        ]
    )
