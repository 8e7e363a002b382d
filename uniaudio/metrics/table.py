"""Every metric that a task may declare: the function that computes it, what it needs of an answer, and which way is better. Light.

    METRICS["wer"].needs            -> "words"
    check_metrics("asr", ("wer",), {"words", "text"})

Where a package gives the metric, its function is called: pesq, pystoi, rapidfuzz (edit distance and common subsequence, the core of
jiwer). Kept of our own: the Frechet distance (scipy has the matrix root alone, which turns complex where a covariance is singular), the
bootstrap (scipy's knows no groups), ROUGE-L and unigram F1 (rouge-score drops every letter beyond a to z), the cosine (one line).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from uniaudio_schemas.errors import UsageError

NEEDS = {
    "words": "words to be written or to be heard in what is spoken",
    "text": "a text beside the reference's",
    "choices": "a question with its choices, or labels",
    "clips": "audio made beside the recording of the same",
    "made": "audio made",
    "voice": "audio made, and a sample of the voice",
    "instruction": "speech made, and words on how to speak",
    "sets": "all audio made beside all recordings",
    "lengths": "audio made, which ended by itself",
    "tokens": "tokens that carry loss",
}
"""What a metric needs of an answer -> in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """A metric as a task names it."""

    function: str
    """Module and function of this package; some modules need packages that others do not."""
    needs: str
    """One of `NEEDS`."""
    higher_is_better: bool


METRICS = {
    "accuracy": Declared(function="accuracy.is_right", needs="choices", higher_is_better=True),
    "caption_similarity": Declared(function="caption.caption_similarity", needs="text", higher_is_better=True),
    "cer": Declared(function="wer.character_errors", needs="words", higher_is_better=False),
    "choice_accuracy": Declared(function="accuracy.is_likeliest", needs="choices", higher_is_better=True),
    "dnsmos": Declared(function="dnsmos.dnsmos", needs="made", higher_is_better=True),
    "frechet": Declared(function="frechet.frechet_distance", needs="sets", higher_is_better=False),
    "instruction_agreement": Declared(
        function="prosody.instruction_agreement", needs="instruction", higher_is_better=True
    ),
    "intonation_error": Declared(function="prosody.intonation_error", needs="clips", higher_is_better=False),
    "length_error": Declared(function="duration.length_error", needs="lengths", higher_is_better=False),
    "log_mel": Declared(function="spectral.log_mel_distance", needs="clips", higher_is_better=False),
    "perplexity": Declared(function="perplexity.perplexity", needs="tokens", higher_is_better=False),
    "pesq": Declared(function="pesq.wide_band_pesq", needs="clips", higher_is_better=True),
    "pitch_error": Declared(function="prosody.pitch_error", needs="clips", higher_is_better=False),
    "rouge_l": Declared(function="caption.rouge_l", needs="text", higher_is_better=True),
    "si_sdr": Declared(function="si_sdr.si_sdr", needs="clips", higher_is_better=True),
    "speaker_similarity": Declared(function="speaker.cosine_similarity", needs="voice", higher_is_better=True),
    "stoi": Declared(function="stoi.stoi", needs="clips", higher_is_better=True),
    "unigram_f1": Declared(function="caption.unigram_f1", needs="text", higher_is_better=True),
    "unparsed": Declared(function="accuracy.is_unparsed", needs="choices", higher_is_better=False),
    "wer": Declared(function="wer.word_errors", needs="words", higher_is_better=False),
}
"""Name in `Task.metrics` -> what it is."""


def find_metric(name: str) -> Callable[..., Any]:
    """The function behind a name of `METRICS`."""
    module, _, function = METRICS[name].function.partition(".")
    metric: Callable[..., Any] = getattr(import_module(f"{__package__}.{module}"), function)
    return metric


def check_metrics(task: str, metrics: Iterable[str], given: Iterable[str]) -> None:
    """UsageError where a declared metric is none, or needs what answers to the task do not have (`given`, of `NEEDS`)."""
    there = set(given)
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f"`metrics` of task {task} must be of {', '.join(METRICS)}, but hold {name}.")
        if METRICS[name].needs not in there:
            raise UsageError(
                f"`metrics` of task {task} must be computable from its answers ({', '.join(sorted(there))}), "
                f"but {name} needs {NEEDS[METRICS[name].needs]}."
            )
