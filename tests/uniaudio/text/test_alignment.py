"""A given text at its places in a recording: no word is lost, none is twice, and cuts fall between words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Word

from uniaudio.text.alignment import Alignment, align_words, cut_text


def heard(text: str, *, word_samples: int = 80, every: int = 100) -> list[Word]:
    """The words of `text`, one each `every` samples."""
    words = enumerate(text.split())
    return [
        Word(word=word, first_sample=place * every, num_samples=word_samples, confidence=1.0) for place, word in words
    ]


def pieces(alignment: Alignment) -> list[str]:
    ends = [(word.first_character, word.first_character + word.num_characters) for word in alignment.words]
    return [alignment.text[first:last] for first, last in ends]


texts = st.lists(
    st.sampled_from(
        ["a", "do", "dog's", "twenty-one", "—", "...", "“", "”", "(", ")", "今", "天。", "ครับ", "\n", "  ", " "]
    ),
    max_size=14,
).map("".join)
words = st.lists(
    st.tuples(st.sampled_from(["a", "dog", "twenty", "今天", "ครั", "..."]), st.integers(-5, 900), st.integers(0, 300)),
    max_size=8,
).map(lambda found: [Word(word=w, first_sample=f, num_samples=n, confidence=0.5) for w, f, n in found])
borders = st.lists(st.integers(-10, 1100), max_size=4).map(sorted)


@given(texts, words, borders)
def test_the_texts_of_the_cuts_are_the_text(text: str, found: list[Word], places: list[int]) -> None:
    cuts = cut_text(align_words(text, found, 1000), places)
    assert len(cuts) == len(places) + 1
    assert "".join(cut.text for cut in cuts) == text


@given(texts, words)
def test_every_word_has_a_place_in_the_recording_in_order(text: str, found: list[Word]) -> None:
    alignment = align_words(text, found, 1000)
    assert not alignment.words or "".join(pieces(alignment)) == text
    starts = [word.first_sample for word in alignment.words]
    assert starts == sorted(starts)
    assert all(0 <= word.first_sample <= word.end_sample <= 1000 for word in alignment.words)
    assert 0 <= alignment.confidence <= 1


def test_words_take_the_times_of_the_words_that_sound_like_them() -> None:
    text = "Dear Mr. Ferguson — please, come in!"
    alignment = align_words(text, heard("dear mister fergusson please come in"), 600)
    assert pieces(alignment) == ["Dear ", "Mr. ", "Ferguson — ", "please, ", "come ", "in!"]
    assert [word.first_sample for word in alignment.words] == [0, 100, 200, 300, 400, 500]
    assert [word.is_matched for word in alignment.words] == [True, False, True, True, True, True]


def test_a_word_that_was_not_heard_lies_between_its_neighbours() -> None:
    alignment = align_words("one two three four", [*heard("one"), heard("a b c four")[3]], 400)
    assert [(word.first_sample, word.num_samples) for word in alignment.words] == [
        (0, 80),
        (80, 82),
        (162, 138),
        (300, 80),
    ]
    assert [word.confidence for word in alignment.words] == [1.0, 0.0, 0.0, 1.0]


def test_what_only_the_recognizer_heard_moves_nothing() -> None:
    alignment = align_words("one two", heard("so one and and two then"), 600)
    assert [word.first_sample for word in alignment.words] == [100, 400]
    assert alignment.confidence == pytest.approx(2 / 6, abs=1e-4)


def test_chinese_is_aligned_by_characters_whatever_the_recognizer_calls_a_word() -> None:
    found = [Word(word="今天天气", first_sample=0, num_samples=400, confidence=1.0), *heard("x x x x x 很好")[5:]]
    alignment = align_words("今天，“天气” 很好。", found, 600)
    assert pieces(alignment) == ["今", "天，", "“天", "气” ", "很", "好。"]
    assert [word.first_sample for word in alignment.words] == [0, 100, 200, 300, 500, 540]
    assert [cut.text for cut in cut_text(alignment, [250, 450])] == ["今天，", "“天气” ", "很好。"]


def test_a_word_goes_to_the_cut_its_middle_lies_in() -> None:
    alignment = align_words("one two three", heard("one two three"), 300)
    assert [cut.text for cut in cut_text(alignment, [139])] == ["one ", "two three"]
    assert [cut.text for cut in cut_text(alignment, [141])] == ["one two ", "three"]


def test_a_number_in_words_is_heard_where_its_digits_are() -> None:
    alignment = align_words("gate twenty-one or 9", heard("gate 21 or nine"), 400)
    assert [word.confidence for word in alignment.words] == [1.0, 1.0, 1.0, 1.0]
    assert [word.first_sample for word in alignment.words] == [0, 100, 200, 300]


def test_words_that_overlap_keep_their_order_in_the_cuts() -> None:
    found = [
        Word(word=w, first_sample=f, num_samples=n, confidence=1.0) for w, f, n in [("one", 0, 300), ("two", 10, 20)]
    ]
    assert [cut.text for cut in cut_text(align_words("one two", found, 300), [100])] == ["", "one two"]


def test_a_cut_is_as_sure_as_its_words_were_heard() -> None:
    alignment = align_words("one two three four", heard("one xyz three four"), 400)
    assert [cut.confidence for cut in cut_text(alignment, [190, 300, 390])] == [0.5, 1.0, 1.0, 1.0]


def test_a_text_of_another_recording_is_not_sure() -> None:
    spoken = heard("please enter your password followed by the pound key")
    assert align_words("Please enter your password, followed by the pound key.", spoken, 900).is_sure
    assert not align_words("I need to find a way over to Sloth Island.", spoken, 900).is_sure
    assert not align_words("Please enter.", spoken, 900).is_sure
    assert not align_words("Please enter.", [], 900).is_sure


def test_borders_are_in_order() -> None:
    with pytest.raises(UsageError, match=r"but is \[3, 1\]"):
        cut_text(align_words("a", [], 5), [3, 1])
