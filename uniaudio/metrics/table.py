"""Every metric that a task may be judged by, and the function that computes it."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

METRICS = {
    "accuracy": "accuracy.accuracy",
    "cer": "wer.character_error_rate",
    "dnsmos": "dnsmos.dnsmos",
    "frechet": "frechet.frechet_distance",
    "perplexity": "perplexity.perplexity",
    "pesq": "pesq.wide_band_pesq",
    "rouge_l": "caption.rouge_l",
    "speaker_similarity": "speaker.cosine_similarity",
    "spectral": "spectral.log_mel_distance",
    "stoi": "stoi.stoi",
    "unigram_f1": "caption.unigram_f1",
    "wer": "wer.word_error_rate",
}
"""Name in `Task.metrics` -> module and function of this package; some modules need packages that others do not."""


def find_metric(name: str) -> Callable[..., Any]:
    """The function behind a name of `METRICS`."""
    module, _, function = METRICS[name].partition(".")
    found: Callable[..., Any] = getattr(import_module(f"{__package__}.{module}"), function)
    return found
