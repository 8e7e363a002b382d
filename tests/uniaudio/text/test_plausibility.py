"""Measures of a transcript, and what a policy makes of them."""

import zlib
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.kinds.annotated import Word

from uniaudio.text.plausibility import (
    TranscriptPolicy,
    compression_ratio,
    count_empty_words,
    longest_loop,
    measure_transcript,
    unsaid_speech_s,
)

LOOP = " ".join(["Please and to the conference pin number."] * 3)
POLICY = TranscriptPolicy()


def rejections(text: str, **numbers: float | None) -> list[str]:
    return POLICY.rejections(measure_transcript(text, **numbers))  # type: ignore[arg-type]


def slow_loop(words: list[str]) -> int:
    """By trying every start, length and number of words, as the definition says."""
    longest = 0
    for size in range(1, len(words)):
        for first in range(size, len(words)):
            end = first
            while end < len(words) and words[end] == words[end - size]:
                end += 1
            if end - first >= size:
                longest = max(longest, end - first)
    return longest


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_the_longest_loop_is_that_of_the_definition(words: list[str]) -> None:
    assert longest_loop(words) == slow_loop(words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("no no no", 2), ("the cat and the dog", 0), ("a b c a b c a b", 5), ("x y a b a b z", 2), ("", 0), (LOOP, 14)],
)
def test_a_loop_is_what_repeats_the_words_just_before(text: str, expected: int) -> None:
    assert longest_loop(text.replace(".", "").lower().split()) == expected


def test_the_loop_of_a_shortened_encoder_is_rejected_and_the_sentence_is_not() -> None:
    assert rejections(LOOP, duration_s=2.39, num_empty_words=11) == ["repetition", "too_fast", "empty_words"]
    assert rejections("Please enter the conference pin number.", duration_s=2.39, num_empty_words=0) == []
    measures = measure_transcript(LOOP, duration_s=2.39)
    assert measures.repetition == pytest.approx(2 / 3)
    assert measures.num_repeated_words == 14
    assert measures.characters_per_s == pytest.approx(119 / 2.39)
    assert measures.words_per_s == pytest.approx(21 / 2.39)


@pytest.mark.parametrize(
    "text", ["No, no, no!", "I don't know. I don't know.", "Bye bye bye bye.", "谢谢谢谢", "我不知道，我不知道。"]
)
def test_people_repeat_themselves_and_may(text: str) -> None:
    assert "repetition" not in rejections(text, duration_s=3.0)


def test_a_refrain_in_a_long_text_is_no_loop() -> None:
    verse = " ".join(f"word{number}" for number in range(40))
    assert "repetition" not in rejections(f"{verse} we will rock you now we will rock you now", duration_s=30)


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("今天天气很好，我们去公园散步吧。", 3.0),
        ("今日はいい天気ですね、公園に行きましょう。", 3.0),
        ("สวัสดีครับ วันนี้อากาศดีมาก เราไปเดินเล่นกันเถอะ", 3.6),
        ("Press four to place an outgoing call.", 2.2),
    ],
)
def test_ordinary_speech_is_neither_too_fast_nor_too_slow(text: str, duration_s: float) -> None:
    assert rejections(text, duration_s=duration_s) == []


def test_twice_the_text_in_the_same_time_is_too_fast_in_any_script() -> None:
    assert rejections("今天天气很好，我们去公园散步吧。" * 2 + "但是要下雨了我们快走吧", duration_s=2.6) == [
        "repetition",
        "too_fast",
    ]
    assert rejections("press four to place an outgoing call now please", duration_s=1.0) == ["too_fast"]


def test_a_few_words_of_a_long_recording_are_too_slow() -> None:
    assert rejections("Thank you.", duration_s=15.0) == ["too_slow"]
    assert rejections("", duration_s=15.0) == ["too_slow"]


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ({"num_empty_words": 2}, "empty_words"),
        ({"no_speech_probability": 0.9}, "no_speech"),
        ({"language_probability": 0.1}, "language_unsure"),
        ({"confidence": 0.45}, "low_confidence"),
        ({"unsaid": 0.2}, "words_missing"),
        ({"second_wer": 0.9}, "recognizers_disagree"),
    ],
)
def test_a_number_beyond_its_threshold_has_one_reason_and_none_has_none(numbers: dict[str, float], reason: str) -> None:
    assert rejections("I need a way", **numbers) == [reason]
    assert rejections("I need a way", **dict.fromkeys(numbers)) == []


def test_text_that_compresses_is_rejected() -> None:
    assert "compressible" in rejections("ha" * 200)
    text = "I need to find a way over to Sloth Island."
    assert compression_ratio(text) == pytest.approx(len(text) / len(zlib.compress(text.encode())))
    assert compression_ratio("") is None


def test_a_policy_without_thresholds_rejects_nothing() -> None:
    policy = TranscriptPolicy(**{field.name: None for field in fields(TranscriptPolicy)})
    measures = measure_transcript(
        LOOP * 9,
        duration_s=1.0,
        num_empty_words=99,
        no_speech_probability=1,
        language_probability=0,
        confidence=0,
        second_wer=1,
        unsaid=1,
    )
    assert policy.rejections(measures) == []
    assert len(POLICY.rejections(measures)) == 9


def test_a_recognizer_is_surer_of_many_words_than_of_few() -> None:
    assert rejections("I need a", confidence=0.52) == ["low_confidence"]
    assert rejections("I need a", confidence=0.58) == []
    assert rejections("I need a way", confidence=0.52) == []


def spoken(*words: tuple[str, float, float]) -> list[Word]:
    """Words with their start and end in seconds, at 1,000 Hz."""
    return [
        Word(word=word, first_sample=int(1000 * first), num_samples=int(1000 * (last - first)), confidence=1.0)
        for word, first, last in words
    ]


@pytest.mark.parametrize(
    ("words", "expected_s"),
    [
        ([], 2.0),
        ([("half", 0.0, 1.0)], 1.2),  # a word of four letters takes 0.7 s at most, and 0.1 s beside it
        ([("stretched", 0.0, 2.0)], 0.7),
        ([("a", 0.0, 0.4), ("longer", 0.3, 1.2), ("text", 1.2, 1.9)], 0.0),
        ([("a", 0.0, 0.35), ("word", 0.75, 0.95), ("text", 1.65, 2.0)], 0.4),
        ([("early", -0.5, 0.0), ("late", 2.3, 2.6)], 1.9),
    ],
)
def test_speech_without_words_is_what_is_left_between_them(
    words: list[tuple[str, float, float]], expected_s: float
) -> None:
    is_speech = np.ones(20, bool)
    found = unsaid_speech_s(spoken(*words), is_speech, frame_s=0.1, sample_rate=1000)
    assert found == pytest.approx(expected_s)
    assert unsaid_speech_s(spoken(*words), ~is_speech, frame_s=0.1, sample_rate=1000) == 0.0
    assert is_speech.all()


def test_a_short_stretch_without_words_is_none() -> None:
    words = spoken(("a", 0.0, 0.25), ("word", 0.85, 1.2))
    assert unsaid_speech_s(words, np.ones(12, bool), frame_s=0.1, sample_rate=1000) == 0.0


def test_words_of_no_length_and_words_behind_the_end_are_empty() -> None:
    places = [(0, 5), (5, 0), (9, 1), (10, 4), (12, -1)]
    words = [Word(word="a", first_sample=first, num_samples=length, confidence=1.0) for first, length in places]
    assert count_empty_words(words, 10) == 3
    assert count_empty_words(words, 20) == 2
