import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniaudio.metrics.accuracy import accuracy
from uniaudio.metrics.caption import rouge_l, unigram_f1
from uniaudio.metrics.text import normalize_text
from uniaudio.metrics.wer import (
    character_error_rate,
    edit_distance,
    word_error_rate,
    word_errors,
)

words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Don’t — STOP! ", "don't stop"),
        ("twenty-one, 'quoted'", "twenty-one quoted"),
        ("Straße ﬁn", "strasse fin"),
        ("Привет, мир!", "привет мир"),
        ("नमस्ते।", "नमस्ते"),
        ("...", ""),
    ],
)
def test_punctuation_and_case_do_not_count(text: str, expected: str) -> None:
    assert normalize_text(text) == expected


@given(st.text())
def test_normalizing_twice_changes_nothing_more(text: str) -> None:
    assert normalize_text(normalize_text(text)) == normalize_text(text)


def slow_distance(first: list[str], second: list[str]) -> int:
    if not first or not second:
        return len(first) + len(second)
    if first[-1] == second[-1]:
        return slow_distance(first[:-1], second[:-1])
    shorter = ((first[:-1], second), (first, second[:-1]), (first[:-1], second[:-1]))
    return 1 + min(slow_distance(*pair) for pair in shorter)


@given(words.filter(lambda w: len(w) < 6), words.filter(lambda w: len(w) < 6))
def test_the_edit_distance_is_the_textbooks(first: list[str], second: list[str]) -> None:
    assert edit_distance(first, second) == slow_distance(first, second)


@given(words, words, words)
def test_the_edit_distance_is_a_metric(first: list[str], second: list[str], third: list[str]) -> None:
    assert edit_distance(first, second) == edit_distance(second, first)
    assert (edit_distance(first, second) == 0) == (first == second)
    assert edit_distance(first, third) <= edit_distance(first, second) + edit_distance(second, third)


def test_word_errors_agree_with_jiwer() -> None:
    jiwer = pytest.importorskip("jiwer")
    reference, hypothesis = "the cat sat on the mat", "a cat sat mat on on the"
    assert word_errors(reference, hypothesis)[0] / 6 == pytest.approx(jiwer.wer(reference, hypothesis))


def test_the_rate_is_of_the_corpus_not_the_mean_of_clips() -> None:
    assert word_error_rate([("one", "two"), ("a b c d e f g h i", "a b c d e f g h i")]) == pytest.approx(0.1)


def test_an_empty_answer_scores_exactly_one() -> None:
    assert word_error_rate([("let's go", ""), ("no", "")]) == 1.0
    assert character_error_rate([("let's go", "")]) == 1.0


def test_there_is_no_rate_without_a_reference() -> None:
    assert word_error_rate([]) is None
    assert word_error_rate([("", "noise"), ("...", "")]) is None


def test_a_label_is_right_whatever_its_case_and_punctuation() -> None:
    assert accuracy([("Happy.", "happy"), ("sad", "angry"), ("sad", "")]) == pytest.approx(1 / 3)
    assert accuracy([]) is None


def test_unigrams_ignore_order_and_rouge_does_not() -> None:
    assert unigram_f1("a dog barks", "barks a dog") == 1.0
    assert rouge_l("a dog barks", "barks a dog") == pytest.approx(2 / 3)


@pytest.mark.parametrize("overlap", [unigram_f1, rouge_l])
def test_an_overlap_lies_between_nothing_and_all(overlap: type[float]) -> None:
    assert overlap("rain on a roof", "rain on a roof") == 1.0
    assert overlap("rain on a roof", "") == overlap("", "rain") == 0.0
    assert overlap("", "") == 1.0
    assert overlap("rain rain", "rain") == pytest.approx(2 / 3)
