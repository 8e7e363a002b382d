"""Answers to questions with choices: right, wrong, or none of the choices. An answer is never guessed at: what is not one of the
choices, after `text.normalize_text`, is unparsed, and counts as wrong.
"""

from collections.abc import Sequence

from uniaudio.metrics.text import normalize_text


def parse_choice(answer: str, choices: Sequence[str]) -> str | None:
    """The choice that the whole answer is, whatever its case and punctuation; None where it is none, or more than one."""
    matches = {choice for choice in choices if normalize_text(choice) == normalize_text(answer)}
    return matches.pop() if len(matches) == 1 else None


def is_right(reference: str, answer: str, choices: Sequence[str]) -> bool:
    """Whether the answer is the reference, as one of the choices."""
    return parse_choice(answer, choices) == reference


def is_unparsed(answer: str, choices: Sequence[str]) -> bool:
    """Whether the answer is none of the choices."""
    return parse_choice(answer, choices) is None


def is_likeliest(reference: str, choices: Sequence[str], log_likelihoods: Sequence[float]) -> float:
    """1 where the reference alone is likeliest, 0 where another is likelier, and its share where several are equal."""
    best = [choice for choice, one in zip(choices, log_likelihoods, strict=True) if one == max(log_likelihoods)]
    return (reference in best) / len(best)
