"""Words for how somebody speaks are read from the sentences that say them."""

import pytest

from uniaudio.text.voice_words import FEMALE, HIGH, LOW, MALE, MEDIUM, PITCHES, RATES, SUBJECTS, band, word_in


@pytest.mark.parametrize(
    ("text", "who", "pitch", "rate"),
    [
        ("In a low voice, a man speaks slowly.", MALE, LOW, LOW),
        (
            "A woman with an Irish accent talks at a fast pace and at a medium pitch, recorded at a high level.",
            FEMALE,
            MEDIUM,
            HIGH,
        ),
        ("Somebody speaks breathlessly at a normal pace.", None, None, MEDIUM),
        ("一名女子在说话，语速较快，声音低沉。", FEMALE, LOW, HIGH),
        ("A steadfast speaker.", None, None, None),
        ("Somebody talks slowly, then quickly.", None, None, None),
    ],
)
def test_a_sentence_says_who_speaks_how_high_and_how_fast(
    text: str, who: str | None, pitch: str | None, rate: str | None
) -> None:
    assert (word_in(text, SUBJECTS), word_in(text, PITCHES), word_in(text, RATES)) == (who, pitch, rate)


def test_a_word_is_of_a_band() -> None:
    assert [band(value, (3.0, 4.5)) for value in (2.9, 3.0, 4.5, 4.6, None)] == [LOW, MEDIUM, MEDIUM, HIGH, None]
