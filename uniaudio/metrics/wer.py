"""Word and character error rates, corpus level: all errors over all reference units, after the normalizer of the language.

The rate of Levenshtein operations (substitutions, insertions, deletions), counted by rapidfuzz, which is what jiwer counts with; an empty
answer scores exactly 1.0, a babbling one more. Where a script has no spaces between words (Chinese, Japanese, Thai, …) its characters are
counted as words, and spaces are no characters: "今天 天气 很 好" is "今天天气很好".
"""

from collections.abc import Iterable, Sequence

from uniaudio_schemas.extras import optional_packages

from uniaudio.metrics.normalizers import characters_of_text, words_of_text
from uniaudio.text.normalization import spoken_words
from uniaudio.text.numerals import with_digits


def word_errors(reference: str, hypothesis: str, language: str | None = None) -> tuple[int, int]:
    """`(errors, words in the reference)` of one pair; without a `language` numbers stay as they are written."""
    words = words_of_text(reference, language)
    return edit_distance(words, words_of_text(hypothesis, language)), len(words)


def character_errors(reference: str, hypothesis: str, language: str | None = None) -> tuple[int, int]:
    """`(errors, characters in the reference)` of one pair; a space counts as one where the script has spaces."""
    characters = characters_of_text(reference, language)
    return edit_distance(characters, characters_of_text(hypothesis, language)), len(characters)


def disagreement(first: str, second: str) -> float | None:
    """Word errors over the words of the longer text: 0 to 1 and the same both ways, since neither is the reference.

    None where neither holds a word. An English number is the same in words and in digits, each digit a word.
    """
    words, others = with_digits(spoken_words(first)), with_digits(spoken_words(second))
    longer = max(len(words), len(others))
    return edit_distance(words, others) / longer if longer else None


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float | None:
    """The word error rate of `(reference, hypothesis)` pairs; None where no reference holds a word."""
    return _rate([word_errors(*pair) for pair in pairs])


def _rate(counts: list[tuple[int, int]]) -> float | None:
    length = sum(count for _, count in counts)
    return sum(errors for errors, _ in counts) / length if length else None


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn one into the other (Levenshtein), by rapidfuzz."""
    with optional_packages():
        from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(reference, hypothesis))
