"""Benchmark of speech from text: held-out `tts` prompts, answered and decoded; how natural it sounds and how far its
length is off.
"""

import math

import numpy as np
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.loudness import limit_peak
from uniaudio.codec.codec import Codes
from uniaudio.lm.generate import generate
from uniaudio.metrics.dnsmos import dnsmos
from uniaudio.sequence.layout import grid_of
from uniaudio_pipelines.checkpoint_to_scores.answers import answer_text
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation, Example
from uniaudio_pipelines.checkpoint_to_scores.outcome import Estimate, Metric, Outcome

_NUM_SAMPLES = 2
"""Spoken answers; the first one is kept to listen to."""


def speech_from_text(evaluation: Evaluation, outcome: Outcome) -> None:
    """DNSMOS of the audio, and `|ln(frames said / frames of the recording)|`."""
    examples = evaluation.examples("tts", min(_NUM_SAMPLES, evaluation.job.num_answers))
    if not examples:
        outcome.drop("tts", "no_samples", "no held-out example of tts")
        return
    prompts = [example.prompt for example in examples]
    answers = generate(
        evaluation.model, prompts, vocabulary=evaluation.vocabulary, mode="audio", max_frames=evaluation.job.max_frames
    )
    codes = [_codes(one.reasoning_codes, one.reconstruction_codes) for one in answers]
    spoken = [
        limit_peak(np.nan_to_num(samples))
        for samples in evaluation.codec.decode(codes, steps=evaluation.job.decode_steps)
    ]
    outcome.audio_s += sum(len(samples) for samples in spoken) / SAMPLE_RATE
    texts = _texts(evaluation, examples)
    media = outcome.media_of(f"tts: {texts[0]}"[:120], spoken[0])
    frames = [
        (len(one.reconstruction), _recorded_frames(evaluation, example))
        for one, example in zip(codes, examples, strict=True)
    ]
    errors = [abs(math.log(said / recorded)) for said, recorded in frames if said and recorded]
    predictions = outcome.put_lines(
        [
            {
                "sequence_id": example.sequence.sequence_id,
                "text": text,
                "frames": said,
                "recorded_frames": recorded,
                "finished": one.finished,
            }
            for example, text, (said, recorded), one in zip(examples, texts, frames, answers, strict=True)
        ]
    )
    second = SAMPLE_RATE / RECONSTRUCTION_HOP
    baseline = Estimate.of([abs(math.log(second / recorded)) for said, recorded in frames if said and recorded])
    metric = Metric(name="length_error", higher_is_better=False, baseline="one second whatever the text")
    baseline_value = None if baseline is None else baseline.value
    outcome.add(
        metric, "speech", Estimate.of(errors), baseline_value=baseline_value, predictions=predictions, media=media
    )
    _naturalness(outcome, examples, spoken, predictions)


def _naturalness(outcome: Outcome, examples: list[Example], spoken: list[np.ndarray], predictions: str) -> None:
    values = []
    try:
        for example, samples in zip(examples, spoken, strict=True):
            opinion = dnsmos(samples, SAMPLE_RATE)
            if opinion is None:
                outcome.drop(f"{example.sequence.sequence_id}/dnsmos", "no_score", "the answer is silent")
            else:
                values.append(opinion.overall)
        noise = dnsmos(0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32), SAMPLE_RATE)
    except (ModuleNotFoundError, UsageError) as error:
        outcome.drop("dnsmos", "not_installed", str(error))
        return
    metric = Metric(name="dnsmos", higher_is_better=True, baseline="white noise")
    outcome.add(
        metric,
        "speech",
        Estimate.of(values),
        baseline_value=None if noise is None else noise.overall,
        predictions=predictions,
    )


def _codes(reasoning: np.ndarray, reconstruction: np.ndarray) -> Codes:
    return Codes(reasoning, reconstruction, len(reconstruction) * RECONSTRUCTION_HOP)


def _recorded_frames(evaluation: Evaluation, example: Example) -> int:
    """Reconstruction frames of the recorded answer."""
    grid = grid_of(example.sequence)
    first, count = evaluation.code_range("reconstruction")
    is_code = grid.loss & grid.is_audio & (grid.ids[:, 0] >= first) & (grid.ids[:, 0] < first + count)
    return int(is_code.sum())


def _texts(evaluation: Evaluation, examples: list[Example]) -> list[str]:
    """What was to be said."""
    rows = evaluation.instructions(example.sequence.sequence_id for example in examples)
    found = []
    for example in examples:
        row = rows.get(example.sequence.sequence_id)
        wanted = [segment.text for segment in row.segments if segment.kind == "text"] if row else []
        found.append(" ".join(wanted) or (answer_text(row) if row else ""))
    return found
