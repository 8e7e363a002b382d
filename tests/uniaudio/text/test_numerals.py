"""English numbers as digits, and texts compared by them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniaudio.text.normalization import spoken_words
from uniaudio.text.numerals import with_digits

ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def said(number: int, joined: str = " and ") -> str:
    """A whole number as it is read out."""
    for name, scale in (("billion", 10**9), ("million", 10**6), ("thousand", 10**3), ("hundred", 100)):
        if number >= scale:
            rest = number % scale
            between = joined if rest < 100 else " "
            return f"{said(number // scale, joined)} {name}" + (between + said(rest, joined) if rest else "")
    if number < 20:
        return ONES[number]
    return TENS[number // 10 - 2] + ("-" + ONES[number % 10] if number % 10 else "")


def digits(text: str) -> str:
    return " ".join(with_digits(spoken_words(text)))


@given(st.integers(0, 10**12 - 1), st.sampled_from([" and ", " "]))
def test_a_number_read_out_is_its_digits(number: int, joined: str) -> None:
    assert digits(said(number, joined)) == " ".join(str(number)) == digits(str(number))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nineteen.", "1 9"),
        ("nineteen ninety-nine", "1 9 9 9"),
        ("Nine, one, one!", "9 1 1"),
        ("911", "9 1 1"),
        ("1,000 gold", "1 0 0 0 gold"),
        ("nineteen hundred and five", "1 9 0 5"),
        ("a hundred and a thousand", "1 0 0 and 1 0 0 0"),
        ("a dog and five", "a dog and 5"),
        ("a hundred and", "1 0 0 and"),
        ("two hundred and zero", "2 0 0 and 0"),
        ("twenty zero", "2 0 0"),
        ("five ten", "5 1 0"),
        ("twenty thirty", "2 0 3 0"),
        ("thousand million", "1 0 0 0 1 0 0 0 0 0 0"),
        ("five hundred hundred", "5 0 0 1 0 0"),
        ("one thousand hundred", "1 0 0 0 1 0 0"),
        ("twenty and five", "2 0 and 5"),
        ("five million thousand", "5 0 0 0 0 0 0 1 0 0 0"),
        ("five thousand six million", "5 0 0 6 1 0 0 0 0 0 0"),
        ("five hundred and thousand", "5 0 0 and 1 0 0 0"),
        ("5 million", "5 0 0 0 0 0 0"),
        ("twenty-first of May, the 21st", "2 1 th of may the 2 1 th"),
        (
            "second thoughts, a fourth, a fifth, the twelfth, the hundredth, thirtieth",
            "2 th thoughts a 4 th a 5 th the 1 2 th the 1 0 0 th 3 0 th",
        ),
        ("twenty second one", "2 2 th 1"),
        ("three one-eyed men and someone", "3 one-eyed men and someone"),
        ("hundreds of b2b", "hundreds of b2b"),
        ("今天 3 二", "今 天 3 二"),
        ("", ""),
    ],
)
def test_each_way_to_say_a_number_has_one_form(text: str, expected: str) -> None:
    assert digits(text) == expected
