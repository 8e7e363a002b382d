from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniaudio.metrics.accuracy import is_likeliest, is_right, is_unparsed
from uniaudio.metrics.caption import caption_similarity, rouge_l, unigram_f1
from uniaudio.metrics.normalizers import NORMALIZERS, normalizer_of
from uniaudio.metrics.text import normalize_text
from uniaudio.metrics.wer import (
    character_errors,
    disagreement,
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


@given(words.filter(bool), words)
def test_error_rates_are_jiwers(first: list[str], second: list[str]) -> None:
    jiwer = pytest.importorskip("jiwer")
    reference, hypothesis = " ".join(first), " ".join(second)
    for errors, rate in ((word_errors, jiwer.wer), (character_errors, jiwer.cer)):
        wrong, length = errors(reference, hypothesis)
        assert wrong / length == pytest.approx(rate(reference, hypothesis))


@given(words, words)
def test_rouge_l_is_the_longest_common_subsequences(first: list[str], second: list[str]) -> None:
    common = max(
        (len(some) for size in range(len(first) + 1) for some in combinations(first, size) if is_within(some, second)),
        default=0,
    )
    expected = 2 * common / (len(first) + len(second)) if first or second else 1.0
    assert rouge_l(" ".join(first), " ".join(second)) == pytest.approx(expected)


def is_within(some: tuple[str, ...], words_in_order: list[str]) -> bool:
    left = iter(words_in_order)
    return all(word in left for word in some)


@pytest.mark.parametrize(
    ("language", "name", "reference", "hypothesis"),
    [
        ("en", "english", "Twenty-one gates.", "21 gates"),
        ("en-GB", "english", "two hundred and five", "205"),
        ("zh", "chinese", "二十三路 公交车", "23路公交车"),
        ("yue", "chinese", "一九九九年", "1999年"),
        ("zh", "chinese", "一万二千零五", "12005"),
        ("tr", "turkish", "ILIK İşler", "ılık işler"),
        ("de", "plain", "Schiff\u00adfahrt", "Schifffahrt"),
        (None, "plain", "zero\u200bwidth", "zerowidth"),
    ],
)
def test_a_language_has_its_own_way_to_write_the_same(
    language: str | None, name: str, reference: str, hypothesis: str
) -> None:
    assert normalizer_of(language) == name
    assert word_errors(reference, hypothesis, language)[0] == 0
    assert character_errors(reference, hypothesis, language)[0] == 0


@pytest.mark.parametrize("name", NORMALIZERS)
@given(text=st.text(alphabet="一二十百千万零 a1Iİ\u00ad", max_size=8))
def test_normalizing_words_again_changes_nothing(name: str, text: str) -> None:
    once = NORMALIZERS[name](text)
    assert NORMALIZERS[name](" ".join(once)) == once


def test_a_number_is_an_error_in_a_language_without_its_normalizer() -> None:
    assert word_errors("twenty-one", "21", "de")[0] == 1
    assert word_errors("I", "ı", "en")[0] == 1


def test_the_rate_is_of_the_corpus_not_the_mean_of_clips() -> None:
    assert word_error_rate([("one", "two"), ("a b c d e f g h i", "a b c d e f g h i")]) == pytest.approx(0.1)


def test_an_empty_answer_scores_exactly_one() -> None:
    assert word_error_rate([("let's go", ""), ("no", "")]) == 1.0


@pytest.mark.parametrize(
    ("segmented", "plain", "num_words"),
    [
        ("今天 天气 很 好", "今天天气很好", 6),
        ("今日 は いい 天気 です 。", "今日はいい天気です。", 9),
        ("สวัสดี ครับ", "สวัสดีครับ", 7),
        ("ខ្ញុំ ស្រឡាញ់ អ្នក", "ខ្ញុំស្រឡាញ់អ្នក", 9),
        ("我 用 Python 写 第 3 章", "我用Python写第3章", 7),
    ],
)
def test_a_space_says_nothing_where_the_script_has_none(segmented: str, plain: str, num_words: int) -> None:
    for reference, hypothesis in ((segmented, plain), (plain, segmented)):
        assert character_errors(reference, hypothesis)[0] == 0
        assert word_errors(reference, hypothesis) == (0, num_words)


def test_one_wrong_chinese_character_is_one_error_of_characters_and_of_words() -> None:
    assert (
        character_errors("今天 天气 很 好", "今天天汽很好") == word_errors("今天 天气 很 好", "今天天汽很好") == (1, 6)
    )


def test_a_space_counts_where_the_script_has_spaces() -> None:
    assert character_errors("한국어 말", "한국어말")[0] == 1
    assert character_errors("to day", "today")[0] == 1
    assert word_errors("안녕 하세요", "안녕하세요") == (2, 2)


def test_marks_of_hindi_stay_and_words_stay_whole() -> None:
    assert word_errors("प्राचीन संस्कृतियों", "प्राचीन संस्कृतियों।") == (0, 2)
    assert character_errors("प्राचीन", "परचन") == (3, 7)


@given(st.text(max_size=20), st.text(max_size=20))
def test_two_recognizers_disagree_the_same_both_ways(first: str, second: str) -> None:
    found = disagreement(first, second)
    assert found == disagreement(second, first)
    assert found is None or 0 <= found <= 1


def test_a_recognizer_that_hears_nothing_disagrees_wholly() -> None:
    assert disagreement("let's go", "") == 1.0
    assert disagreement("let's go", "let's") == 0.5
    assert disagreement("...", "") is None


def test_a_number_in_words_agrees_with_one_in_digits() -> None:
    assert disagreement("nineteen ninety-nine", "1999") == 0.0
    assert disagreement("19", "nineteen") == 0.0


def test_there_is_no_rate_without_a_reference() -> None:
    assert word_error_rate([]) is None
    assert word_error_rate([("", "noise"), ("...", "")]) is None


def test_an_answer_that_is_no_choice_is_unparsed_and_never_guessed() -> None:
    choices = ("happy", "sad")
    assert is_right("happy", " Happy. ", choices)
    assert not is_unparsed("sad", choices)
    for answer in ("", "happy or sad", "it is happy", "hap"):
        assert is_unparsed(answer, choices)
        assert not is_right("happy", answer, choices)


def test_choices_that_are_equally_likely_share_the_point() -> None:
    assert is_likeliest("a", ("a", "b"), (-1.0, -2.0)) == 1
    assert is_likeliest("b", ("a", "b"), (-1.0, -2.0)) == 0
    assert is_likeliest("b", ("a", "b", "c"), (-1.0, -1.0, -2.0)) == 0.5


def test_unigrams_ignore_order_and_rouge_does_not() -> None:
    assert unigram_f1("a dog barks", "barks a dog") == 1.0
    assert rouge_l("a dog barks", "barks a dog") == pytest.approx(2 / 3)


@pytest.mark.parametrize("overlap", [unigram_f1, rouge_l])
def test_an_overlap_lies_between_nothing_and_all(overlap: type[float]) -> None:
    assert overlap("rain on a roof", "rain on a roof") == 1.0
    assert overlap("rain on a roof", "") == overlap("", "rain") == 0.0
    assert overlap("", "") == 1.0
    assert overlap("rain rain", "rain") == pytest.approx(2 / 3)


def test_a_caption_is_as_similar_as_its_embedding_and_an_empty_one_is_like_none_but_itself() -> None:
    embeddings = {"a dog": np.array([1.0, 0.0]), "a hound": np.array([0.8, 0.6])}
    assert caption_similarity("a dog", "a hound", embeddings.__getitem__) == pytest.approx(0.8)
    assert caption_similarity("a dog", " ", embeddings.__getitem__) == 0.0
    assert caption_similarity("", " ", embeddings.__getitem__) == 1.0
