from hypothesis import given
from hypothesis import strategies as st

from uniaudio.text.normalization import is_spaceless, normalize_text, spoken_characters, spoken_words

mixed = st.text(alphabet="ab 今天ครับ́한é.,'-3", max_size=20)


def test_a_word_of_a_script_without_spaces_is_a_character_with_its_marks() -> None:
    assert spoken_words("我用 Python 写") == ["我", "用", "python", "写"]
    assert spoken_words("กิน ข้าว") == ["กิ", "น", "ข้", "า", "ว"]


def test_hangul_and_devanagari_have_spaces_and_kana_and_khmer_do_not() -> None:
    assert [is_spaceless(character) for character in "한क"] == [False, False]
    assert [is_spaceless(character) for character in "かカーខ々"] == [True] * 5


@given(mixed)
def test_words_and_characters_hold_the_same_text(text: str) -> None:
    kept = normalize_text(text).replace(" ", "")
    assert "".join(spoken_words(text)) == kept
    assert spoken_characters(text).replace(" ", "") == kept


@given(mixed)
def test_the_characters_of_the_characters_are_the_same(text: str) -> None:
    once = spoken_characters(text)
    assert spoken_characters(once) == once


@given(st.text(st.sampled_from("ab'Z-_`0. \t\n\x00\x01\x7f,\x1c"), max_size=12))
def test_ascii_alone_is_normalized_as_beside_other_letters(text: str) -> None:
    assert normalize_text(f"{text} é") == f"{normalize_text(text)} é".strip()


def test_private_characters_and_underscores_are_no_apostrophes() -> None:
    assert normalize_text("a\ue000b é") == "a b é"
    assert normalize_text("a'_b-_c") == "a b c"
    assert normalize_text("a'_b-_c é") == "a b c é"


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_is_normalized_like_any_text(text: str) -> None:
    assert normalize_text(f"{text} é").removesuffix("é").strip() == normalize_text(text)
