"""One function a metric: from a sample to its share of the number, and from the same sample to that of a trivial baseline.

    MEASURES["wer"].of(sample, tools)           -> (2, 5): two errors in five words
    MEASURES["wer"].of_baseline(sample, tools)  -> (5, 5): an empty answer

A value is a numerator and a denominator, so that rates are of the corpus; None where the metric is not defined for the sample. Metrics of
whole sets (`frechet`) and of tokens (`perplexity`) are in `set_measures` and `likelihood`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.metrics import accuracy, caption, wer
from uniaudio.metrics.dnsmos import dnsmos
from uniaudio.metrics.duration import length_error
from uniaudio.metrics.pesq import wide_band_pesq
from uniaudio.metrics.prosody import instruction_agreement, intonation_error, pitch_error
from uniaudio.metrics.si_sdr import si_sdr
from uniaudio.metrics.speaker import cosine_similarity
from uniaudio.metrics.spectral import log_mel_distance
from uniaudio.metrics.stoi import stoi
from uniaudio_pipelines.checkpoint_to_scores.samples import Sample
from uniaudio_pipelines.checkpoint_to_scores.tools import Tools

Pair = tuple[float, float]
Of = Callable[[Sample, Tools], Pair | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    of: Of
    baseline: str
    """What the trivial baseline does."""
    of_baseline: Of


def _words(errors: Callable[[str, str, str | None], tuple[int, int]], sample: Sample, tools: Tools) -> Pair | None:
    if not sample.reference.strip():
        return None
    said = tools.hear(sample.made[0], sample.language) if sample.recorded else sample.answer
    return None if said is None else errors(sample.reference, said, sample.language)


def _no_words(errors: Callable[[str, str, str | None], tuple[int, int]], sample: Sample, tools: Tools) -> Pair | None:
    return errors(sample.reference, "", sample.language)


def _words_measure(errors: Callable[[str, str, str | None], tuple[int, int]]) -> Measure:
    return Measure(of=partial(_words, errors), baseline="empty answer", of_baseline=partial(_no_words, errors))


def _text_measure(overlap: Callable[[str, str], float]) -> Measure:
    return Measure(
        of=lambda sample, tools: (overlap(sample.reference, sample.answer), 1),
        baseline="most frequent training answer",
        of_baseline=lambda sample, tools: (overlap(sample.reference, tools.frequent), 1),
    )


def _meaning(sample: Sample, answer: str, tools: Tools) -> Pair:
    return caption.caption_similarity(sample.reference, answer, tools.meaning), 1


def _where_choices(of: Of) -> Of:
    return lambda sample, tools: of(sample, tools) if sample.choices else None


def _usual_choice(sample: Sample, tools: Tools) -> Pair:
    """The most frequent training answer, or the first choice where that is none of them."""
    usual = accuracy.parse_choice(tools.frequent, sample.choices) or sample.choices[0]
    return float(usual == sample.reference), 1


def _likeliest(sample: Sample, tools: Tools) -> Pair | None:
    if len(sample.log_likelihoods) != len(sample.choices):
        return None
    return accuracy.is_likeliest(sample.reference, sample.choices, sample.log_likelihoods), 1


def _beside_source(measure: Callable[[np.ndarray, np.ndarray], float | None]) -> Measure:
    """What is made beside what was recorded, over all clips of an answer; the baseline gives back what it was given."""

    def mean_over(sample: Sample, made: list[np.ndarray]) -> Pair | None:
        recordings = [sample.audio(clip) for clip in sample.recorded]
        values = [measure(recording, one) for recording, one in zip(recordings, made, strict=False)]
        known = [value for value in values if value is not None]
        return (math.fsum(known) / len(known), 1) if known and len(made) == len(recordings) else None

    def of_baseline(sample: Sample, tools: Tools) -> Pair | None:
        if not sample.source:
            return None
        return mean_over(sample, [sample.audio(sample.source)] * len(sample.recorded))

    return Measure(
        of=lambda sample, tools: mean_over(sample, sample.made), baseline="what was given", of_baseline=of_baseline
    )


def _beside_recording(measure: Callable[[np.ndarray, np.ndarray], float | None]) -> Measure:
    """Measure that compares an answer's sound with the recording that its instruction describes. The baseline speaks like another recording."""

    def of(sample: Sample, tools: Tools) -> Pair | None:
        value = measure(sample.audio(sample.recorded[0]), sample.made[0])
        return None if value is None else (value, 1)

    def of_baseline(sample: Sample, tools: Tools) -> Pair | None:
        other = tools.another_recording(sample)
        value = None if other is None else measure(sample.audio(sample.recorded[0]), other)
        return None if value is None else (value, 1)

    return Measure(of=of, baseline="the next example's recording", of_baseline=of_baseline)


def _as_told(sample: Sample, samples: np.ndarray) -> Pair | None:
    return instruction_agreement(sample.instruction, samples, SAMPLE_RATE)


def _another_as_told(sample: Sample, tools: Tools) -> Pair | None:
    other = tools.another_recording(sample)
    return None if other is None else _as_told(sample, other)


def _naturalness(sample: Sample, tools: Tools) -> Pair | None:
    opinion = dnsmos(sample.made[0], SAMPLE_RATE)
    return None if opinion is None else (opinion.overall, 1)


def _of_noise(sample: Sample, tools: Tools) -> Pair | None:
    return (tools.noise_dnsmos, 1) if tools.noise_dnsmos is not None else None


def _likeness(sample: Sample, tools: Tools) -> Pair | None:
    if not sample.voice or not np.any(sample.made[0]):
        return None
    likeness = cosine_similarity(tools.voice(sample.audio(sample.voice)), tools.voice(sample.made[0]))
    return None if likeness is None else (likeness, 1)


def _likeness_of_noise(sample: Sample, tools: Tools) -> Pair | None:
    noise = tools.noise(SAMPLE_RATE)
    likeness = cosine_similarity(tools.voice(sample.audio(sample.voice)), tools.voice(noise))
    return None if likeness is None else (likeness, 1)


def _length(sample: Sample, tools: Tools) -> Pair | None:
    """An answer that the job's limit ended has the limit's length, which says nothing of the model."""
    error = length_error(sample.num_recorded_frames, sample.num_frames) if sample.finished == "stop" else None
    return None if error is None else (error, 1)


def _usual_length(sample: Sample, tools: Tools) -> Pair | None:
    error = length_error(sample.num_recorded_frames, tools.usual_frames)
    return None if error is None else (error, 1)


MEASURES: dict[str, Measure] = {
    "accuracy": Measure(
        of=_where_choices(lambda one, tools: (float(accuracy.is_right(one.reference, one.answer, one.choices)), 1)),
        baseline="most frequent training answer",
        of_baseline=_where_choices(_usual_choice),
    ),
    "caption_similarity": Measure(
        of=lambda sample, tools: _meaning(sample, sample.answer, tools),
        baseline="most frequent training answer",
        of_baseline=lambda sample, tools: _meaning(sample, tools.frequent, tools),
    ),
    "cer": _words_measure(wer.character_errors),
    "choice_accuracy": Measure(
        of=_where_choices(_likeliest),
        baseline="every choice equally likely",
        of_baseline=_where_choices(lambda sample, tools: (1 / len(sample.choices), 1)),
    ),
    "dnsmos": Measure(of=_naturalness, baseline="white noise", of_baseline=_of_noise),
    "instruction_agreement": Measure(
        of=lambda sample, tools: _as_told(sample, sample.made[0]),
        baseline="the next example's recording",
        of_baseline=_another_as_told,
    ),
    "intonation_error": _beside_recording(partial(intonation_error, sample_rate=SAMPLE_RATE)),
    "length_error": Measure(of=_length, baseline="median length of the training recordings", of_baseline=_usual_length),
    "log_mel": _beside_source(partial(log_mel_distance, sample_rate=SAMPLE_RATE)),
    "pesq": _beside_source(partial(wide_band_pesq, sample_rate=SAMPLE_RATE)),
    "pitch_error": _beside_recording(partial(pitch_error, sample_rate=SAMPLE_RATE)),
    "rouge_l": _text_measure(caption.rouge_l),
    "si_sdr": _beside_source(si_sdr),
    "speaker_similarity": Measure(of=_likeness, baseline="white noise", of_baseline=_likeness_of_noise),
    "stoi": _beside_source(partial(stoi, sample_rate=SAMPLE_RATE)),
    "unigram_f1": _text_measure(caption.unigram_f1),
    "unparsed": Measure(
        of=_where_choices(lambda sample, tools: (float(accuracy.is_unparsed(sample.answer, sample.choices)), 1)),
        baseline="empty answer",
        of_baseline=_where_choices(lambda sample, tools: (1.0, 1)),
    ),
    "wer": _words_measure(wer.word_errors),
}
"""Name of `metrics.table.METRICS` -> how a sample is measured."""
