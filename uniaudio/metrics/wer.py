"""Word and character error rates, corpus level: all errors over all reference units, after `text.normalize_text`.

The rate of Levenshtein operations (substitutions, insertions, deletions); an empty answer scores exactly 1.0, a
babbling one more. Where a script has no spaces between words (Chinese, Japanese, Thai, …) its characters are counted
as words, and spaces are no characters: "今天 天气 很 好" is "今天天气很好".
"""

from collections.abc import Iterable, Sequence

import numpy as np

from uniaudio.text.normalization import spoken_characters, spoken_words
from uniaudio.text.numerals import with_digits


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """`(errors, words in the reference)` of one pair."""
    words = spoken_words(reference)
    return edit_distance(words, spoken_words(hypothesis)), len(words)


def character_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """`(errors, characters in the reference)` of one pair; a space counts as one where the script has spaces."""
    characters = spoken_characters(reference)
    return edit_distance(characters, spoken_characters(hypothesis)), len(characters)


def disagreement(first: str, second: str) -> float | None:
    """Word errors over the words of the longer text: 0 to 1 and the same both ways, since neither is the reference.

    None where neither holds a word. An English number is the same in words and in digits, each digit a word.
    """
    words, others = with_digits(spoken_words(first)), with_digits(spoken_words(second))
    longer = max(len(words), len(others))
    return edit_distance(words, others) / longer if longer else None


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float | None:
    """Of `(reference, hypothesis)` pairs; None where no reference holds a word."""
    return _rate([word_errors(*pair) for pair in pairs])


def character_error_rate(pairs: Iterable[tuple[str, str]]) -> float | None:
    """Of `(reference, hypothesis)` pairs; None where no reference holds a character."""
    return _rate([character_errors(*pair) for pair in pairs])


def _rate(counts: list[tuple[int, int]]) -> float | None:
    length = sum(count for _, count in counts)
    return sum(errors for errors, _ in counts) / length if length else None


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn one into the other (Levenshtein)."""
    ids = {unit: number for number, unit in enumerate(dict.fromkeys([*reference, *hypothesis]))}
    columns = np.array([ids[unit] for unit in hypothesis], dtype=np.int64)
    steps = np.arange(len(hypothesis) + 1)
    row = steps.copy()
    for number, unit in enumerate(reference, start=1):
        candidates = np.minimum(row[1:] + 1, row[:-1] + (columns != ids[unit]))
        row = np.concatenate([[number], candidates])
        row = np.minimum.accumulate(row - steps) + steps  # insertions: one more for each step to the right
    return int(row[-1])
