"""Benchmark of speech from text: held-out `tts` prompts, answered and decoded; how natural it sounds and how far its
length is off.
"""

import math
from dataclasses import dataclass
from statistics import mean

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.scores import Medium
from uniaudio_schemas.kinds.sequences import Sequence

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
_NUM_TRAINED = 256
"""Training recordings behind the baseline of the length."""


def speech_from_text(evaluation: Evaluation, outcome: Outcome) -> None:
    """DNSMOS of the audio, and `|ln(frames said / frames of the recording)|` of answers that ended by themselves."""
    examples = evaluation.examples("tts", min(_NUM_SAMPLES, evaluation.job.num_answers))
    if not examples:
        outcome.drop("tts", "no_samples", "no held-out example of tts")
        return
    prompts = [example.prompt for example in examples]
    answers = generate(
        evaluation.model, prompts, vocabulary=evaluation.vocabulary, mode="audio", max_frames=evaluation.job.max_frames
    )
    codes = [_codes(one.reasoning_codes, one.reconstruction_codes) for one in answers]
    waveforms = [
        limit_peak(np.nan_to_num(samples))
        for samples in evaluation.codec.decode(codes, steps=evaluation.job.decode_steps)
    ]
    outcome.audio_s += sum(len(samples) for samples in waveforms) / SAMPLE_RATE
    spoken = [
        _Spoken(example, text, len(one.reconstruction), _recorded_frames(evaluation, example.sequence), answer.finished)
        for example, text, one, answer in zip(examples, _texts(evaluation, examples), codes, answers, strict=True)
    ]
    predictions = outcome.put_lines([one.line() for one in spoken])
    media = outcome.media_of(f"tts: {spoken[0].text}"[:120], waveforms[0])
    _naturalness(outcome, spoken, waveforms, predictions, media)
    _lengths(evaluation, outcome, spoken, predictions, [] if outcome.scores else media)


@dataclass(frozen=True, slots=True)
class _Spoken:
    example: Example
    text: str
    frames: int
    """Reconstruction frames of the answer, and of the recording."""
    recorded_frames: int
    finished: str

    def line(self) -> dict[str, object]:
        return {
            "sequence_id": self.example.sequence.sequence_id,
            "text": self.text,
            "frames": self.frames,
            "recorded_frames": self.recorded_frames,
            "finished": self.finished,
        }


def _lengths(
    evaluation: Evaluation, outcome: Outcome, spoken: list[_Spoken], predictions: str, media: list[Medium]
) -> None:
    """An answer that the job's limit ended has the limit's length, which says nothing of the model."""
    trained = [_recorded_frames(evaluation, row) for row in evaluation.trained("tts", _NUM_TRAINED)]
    usual = float(np.median(trained)) if trained else 0.0
    found, baselines = [], []
    for one in spoken:
        row_id = f"{one.example.sequence.sequence_id}/length_error"
        if one.finished != "stop":
            outcome.drop(row_id, "not_finished", f"no end after {one.frames} frames, the job's limit")
        elif not one.frames or not one.recorded_frames:
            outcome.drop(row_id, "no_score", f"{one.frames} frames said, {one.recorded_frames} recorded")
        else:
            found.append(one)
            baselines += [abs(math.log(usual / one.recorded_frames))] if usual else []
    errors = [abs(math.log(one.frames / one.recorded_frames)) for one in found]
    estimate = Estimate.of(errors, recordings=[one.example.recording for one in found])
    metric = Metric(name="length_error", higher_is_better=False, baseline="median length of the training recordings")
    baseline_value = mean(baselines) if baselines else None
    outcome.add(metric, "speech", estimate, baseline_value=baseline_value, predictions=predictions, media=media)


def _naturalness(
    outcome: Outcome, spoken: list[_Spoken], waveforms: list[np.ndarray], predictions: str, media: list[Medium]
) -> None:
    values, recordings = [], []
    try:
        for one, samples in zip(spoken, waveforms, strict=True):
            opinion = dnsmos(samples, SAMPLE_RATE)
            if opinion is None:
                outcome.drop(f"{one.example.sequence.sequence_id}/dnsmos", "no_score", "the answer is silent")
            else:
                values.append(opinion.overall)
                recordings.append(one.example.recording)
        noise = dnsmos(0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32), SAMPLE_RATE)
    except (ModuleNotFoundError, UsageError) as error:
        outcome.drop("dnsmos", "not_installed", str(error))
        return
    metric = Metric(name="dnsmos", higher_is_better=True, baseline="white noise")
    estimate = Estimate.of(values, recordings=recordings)
    baseline_value = None if noise is None else noise.overall
    outcome.add(metric, "speech", estimate, baseline_value=baseline_value, predictions=predictions, media=media)


def _codes(reasoning: np.ndarray, reconstruction: np.ndarray) -> Codes:
    return Codes(reasoning, reconstruction, len(reconstruction) * RECONSTRUCTION_HOP)


def _recorded_frames(evaluation: Evaluation, sequence: Sequence) -> int:
    """Reconstruction frames of the recorded answer."""
    grid = grid_of(sequence)
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
