"""English numbers written one way, so that "nineteen" and "19" are the same when two texts are compared.

Words     ["gate", "twenty-one", "in", "nineteen", "ninety", "nine", "the", "2nd", "of", "a", "hundred", "and", "five"]
Gives     ["gate", "2", "1", "in", "1", "9", "9", "9", "the", "2", "th", "of", "1", "0", "5"]

Each digit is a word: people say "nineteen ninety-nine" and "one nine nine nine" for 1999, and a recognizer writes any of
them with any spaces. What is no number is left alone, so both sides of a comparison must be written so. In another language
a word that looks like an English number ("ten" is Czech for "that") becomes digits on both sides alike.
"""

import re
from collections.abc import Sequence

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_CARDINALS = {
    **{word: value for value, word in enumerate(_ONES)},
    **{word: 10 * value for value, word in enumerate(_TENS, 2)},
}
_HUNDRED = "hundred"
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_ORDINALS = {
    **{f"{word}th": word for word in (*_ONES[4:], _HUNDRED, *_SCALES)},
    **{f"{word[:-1]}ieth": word for word in _TENS},
    **{
        "first": "one",
        "second": "two",
        "third": "three",
        "fifth": "five",
        "eighth": "eight",
        "ninth": "nine",
        "twelfth": "twelve",
    },
}
"""Ordinal -> cardinal."""
_DIGITS = re.compile(r"([0-9]+)(st|nd|rd|th)?")
_ORDINAL = "th"


def with_digits(words: Sequence[str]) -> list[str]:
    """Normalized words (`normalization.spoken_words`) with each number as its digits, a word each."""
    parts = [part for word in words for part in _parts(word)]
    digits: list[str] = []
    place = 0
    while place < len(parts):
        number, behind = _number(parts, place)
        digits += number or [parts[place]]
        place = behind if number else place + 1
    return digits


def _parts(word: str) -> list[str]:
    """The words of "twenty-one"; others whole."""
    parts = word.split("-")
    return parts if all(part in _CARDINALS or part in _ORDINALS for part in parts) else [word]


def _number(parts: list[str], place: int) -> tuple[list[str], int]:
    """The digits of the number at `place`, and the place behind it; none where there is no number."""
    following = parts[place + 1] if place + 1 < len(parts) else ""
    if number := _DIGITS.fullmatch(parts[place]):
        zeros = str(_SCALES[following])[1:] if following in _SCALES else ""
        return [*number[1], *zeros, *([_ORDINAL] if number[2] else [])], place + 1 + bool(zeros)
    has_article = parts[place] == "a" and following in (_HUNDRED, *_SCALES)
    return _said_number(parts, place + has_article)


def _said_number(parts: list[str], first: int) -> tuple[list[str], int]:
    """The digits of a number in words that begins at `first`, and the place behind it."""
    total, group = 0, 0
    below, scale_below = 100, 10**12  # what the next cardinal and the next scale must be less than
    place = first
    ending: list[str] = []
    while place < len(parts) and not ending:
        # "and" belongs to a number behind "hundred" and the scales.
        skipped = place > first and parts[place] == "and" and below == 100
        word_after = "".join(parts[place + skipped : place + skipped + 1])
        word = _ORDINALS.get(word_after, word_after)
        value = _CARDINALS.get(word, 100)
        if value < below and (value or place == first):
            group, below = group + value, 10 if value >= 20 else 0
        elif skipped:
            break
        elif word == _HUNDRED and (0 < group < 100 or place == first):
            group, below = max(group, 1) * 100, 100
        elif _SCALES.get(word, scale_below) < scale_below and (group or place == first):
            scale_below = _SCALES[word]
            total, group, below = total + max(group, 1) * scale_below, 0, 100
        else:
            break
        ending = [_ORDINAL] * (word_after in _ORDINALS)
        place += 1 + skipped
    return ([*str(total + group), *ending] if place > first else []), place
