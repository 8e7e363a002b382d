"""Named normalizers: how a text is written before its errors are counted, by language.

Text        "Twenty-one gates"   "二十三 路"      "ILIK İş"            "Schiff\\u00adfahrt"
Normalizer  english              chinese        turkish              plain
Words       2 1 gates            2 3 路          ılık iş              schifffahrt

All of them take out soft hyphens and marks of no width, then do what `uniaudio.text.normalization` does. `english` and `chinese` write
numbers as their digits, a word each. `turkish` (Turkish and Azeri) knows that I is the capital of ı and İ that of i. Other languages,
and clips whose language is not known, are `plain`: there "5" for "five" is an error.
"""

import re
from collections.abc import Callable

from uniaudio.text.normalization import spoken_characters, spoken_words
from uniaudio.text.numerals import with_digits

_NO_WIDTH = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
_TURKISH = str.maketrans({"I": "ı", "İ": "i"})
_DIGITS = {**{digit: value for value, digit in enumerate("零一二三四五六七八九")}, "〇": 0, "两": 2, "兩": 2}
_UNITS = {"十": 10, "百": 100, "千": 1_000}
_MYRIADS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_NUMERAL = re.compile(f"[{''.join([*_DIGITS, *_UNITS, *_MYRIADS])}]+")


def _plain(text: str) -> list[str]:
    return spoken_words(text)


def _english(text: str) -> list[str]:
    return with_digits(spoken_words(text))


def _turkish(text: str) -> list[str]:
    return spoken_words(text.translate(_TURKISH))


def _chinese(text: str) -> list[str]:
    words = spoken_words(_NUMERAL.sub(lambda match: _digits_of(match.group()), text))
    return [part for word in words for part in (word if word.isdecimal() else [word])]


NORMALIZERS: dict[str, Callable[[str], list[str]]] = {
    "plain": _plain,
    "english": _english,
    "turkish": _turkish,
    "chinese": _chinese,
}
"""Name -> from text to the words that are compared."""
_OF_LANGUAGE = {"en": "english", "tr": "turkish", "az": "turkish", "zh": "chinese", "yue": "chinese"}


def normalizer_of(language: str | None) -> str:
    """The name of a language's normalizer (`en`, or `en-GB`)."""
    return _OF_LANGUAGE.get((language or "").partition("-")[0].casefold(), "plain")


def words_of_text(text: str, language: str | None = None) -> list[str]:
    """The words that are compared in that language."""
    return NORMALIZERS[normalizer_of(language)](text.translate(_NO_WIDTH))


def characters_of_text(text: str, language: str | None = None) -> str:
    """The characters that are compared: of the words, one space between them, none beside a script without spaces."""
    return spoken_characters(" ".join(words_of_text(text, language)))


def _digits_of(numeral: str) -> str:
    """二十三 -> 23, 一九九九 -> 1999 (said digit by digit), 一万二千 -> 12000."""
    if not any(mark in _UNITS or mark in _MYRIADS for mark in numeral):
        return "".join(str(_DIGITS[mark]) for mark in numeral)
    total = section = digit = 0
    for mark in numeral:
        if mark in _DIGITS:
            digit = _DIGITS[mark]
        elif mark in _UNITS:
            section, digit = section + (digit or 1) * _UNITS[mark], 0
        else:
            total, section, digit = total + max(section + digit, 1) * _MYRIADS[mark], 0, 0
    return str(total + section + digit)
