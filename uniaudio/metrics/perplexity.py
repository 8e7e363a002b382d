"""Perplexity: among how many equally likely tokens the model is as unsure as it is; 1 is certainty, the vocabulary's
size is knowing nothing.
"""

import math
from collections.abc import Iterable

from uniaudio_schemas.errors import UsageError

_LARGEST_LOSS = 700.0  # exp of more overflows a float


def perplexity(losses: Iterable[tuple[float, int]]) -> float | None:
    """Perplexity of `(summed negative log-likelihood in nats, number of tokens)` pairs. None without tokens, infinite where a
    token has likelihood 0.
    """
    pairs = list(losses)
    num_tokens = sum(count for _, count in pairs)
    if any(count < 0 for _, count in pairs):
        raise UsageError("Numbers of tokens must be 0 or more.")
    if not num_tokens:
        return None
    mean = sum(loss for loss, _ in pairs) / num_tokens
    return math.exp(mean) if mean < _LARGEST_LOSS else math.inf
