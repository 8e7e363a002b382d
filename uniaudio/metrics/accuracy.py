"""Share of answers that are the right one, after `text.normalize_text`: for labels."""

from collections.abc import Iterable

from uniaudio.metrics.text import normalize_text


def accuracy(pairs: Iterable[tuple[str, str]]) -> float | None:
    """Of `(reference, hypothesis)` pairs; None without any."""
    right = [normalize_text(reference) == normalize_text(hypothesis) for reference, hypothesis in pairs]
    return sum(right) / len(right) if right else None
