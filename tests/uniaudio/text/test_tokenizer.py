"""Tokenizers: what text comes back, and which ids are special."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import SPECIALS, ByteTokenizer, HuggingFaceTokenizer


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_decoding_bytes_inverts_encoding(text: str) -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_bytes_have_every_special_once_outside_the_bytes() -> None:
    ids = ByteTokenizer.specials
    assert sorted(ids) == sorted(SPECIALS)
    assert sorted(ids.values()) == list(range(256, ByteTokenizer.num_ids))


def test_decoding_leaves_specials_out() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.decode([tokenizer.specials["bos"], *b"hi", tokenizer.specials["eos"]]) == "hi"


def write_tokenizer(folder: Path, *specials: str, config: str = "{}") -> Path:
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0, "hello": 1, "world": 2, "<": 3, ">": 4, "lyric": 5, "/": 6}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.add_special_tokens(list(specials))
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(config)
    return folder


def test_missing_specials_are_added_by_name(tmp_path: Path) -> None:
    tokenizer = HuggingFaceTokenizer.from_folder(write_tokenizer(tmp_path, "<s>", "</s>"))
    assert tokenizer.specials["bos"] == 7
    assert tokenizer.specials["eos"] == 8
    assert sorted(tokenizer.specials) == sorted(SPECIALS)
    assert tokenizer.num_ids == 9 + len(SPECIALS) - 2
    Vocabulary.build(tokenizer, 64, 128)


def test_one_token_for_begin_and_end_becomes_two(tmp_path: Path) -> None:
    config = '{"bos_token": "<|endoftext|>", "eos_token": {"content": "<|endoftext|>"}}'
    tokenizer = HuggingFaceTokenizer.from_folder(write_tokenizer(tmp_path, "<|endoftext|>", config=config))
    assert tokenizer.specials["eos"] == 7
    assert tokenizer.specials["bos"] != 7


def test_a_reserved_token_that_the_configuration_renames_keeps_its_id(tmp_path: Path) -> None:
    config = '{"added_tokens_decoder": {"7": {"content": "<transcription>"}}}'
    folder = write_tokenizer(tmp_path, "<|reserved_special_token_3|>", config=config)
    tokenizer = HuggingFaceTokenizer.from_folder(folder)
    assert tokenizer.specials["transcription_start"] == 7
    assert sorted(tokenizer.specials.values()) == list(range(7, 7 + len(SPECIALS)))
    assert tokenizer.decode([1, 7]) == tokenizer.decode([1])


def test_text_that_spells_a_special_token_stays_text(tmp_path: Path) -> None:
    tokenizer = HuggingFaceTokenizer.from_folder(write_tokenizer(tmp_path, "<lyric>"))
    ids = tokenizer.encode("hello <lyric> world")
    assert tokenizer.specials["lyric_start"] not in ids
    assert ids[0] == 1
    assert ids[-1] == 2
    assert len(ids) > 2, "the characters of the tag must not be lost"


def test_the_fingerprint_knows_the_specials(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a = HuggingFaceTokenizer.from_folder(write_tokenizer(tmp_path / "a", "<s>"))
    b = HuggingFaceTokenizer.from_folder(write_tokenizer(tmp_path / "b", "<|begin_of_text|>"))
    assert a.fingerprint != b.fingerprint


def test_text_is_read_whole_whatever_length_the_file_was_made_for(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path)
    made = pytest.importorskip("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.enable_truncation(2)
    made.enable_padding(length=9)
    made.save(str(folder / "tokenizer.json"))
    assert HuggingFaceTokenizer.from_folder(folder).encode("hello world hello") == [1, 2, 1]


def test_bytes_that_are_no_text_are_read_as_unknown(tmp_path: Path) -> None:
    assert HuggingFaceTokenizer.from_folder(write_tokenizer(tmp_path)).encode("hello \udcff") == [1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer.json": "{}"}, "must hold a tokenizer, but cannot be read as such"),
        ({"tokenizer_config.json": "{"}, "must hold a tokenizer, but cannot be read as such"),
        (
            {"tokenizer_config.json": '{"eos_token": "<lyric>"}'},
            "must be tokens of their own, but one of them is <lyric>",
        ),
    ],
)
def test_a_broken_tokenizer_is_named(tmp_path: Path, change: dict[str, str], message: str) -> None:
    folder = write_tokenizer(tmp_path, "<lyric>")
    for name, text in change.items():
        (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        HuggingFaceTokenizer.from_folder(folder)


def test_a_special_that_would_share_an_id_with_a_word_is_refused(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path)
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace('"/":6', '"/":8').replace('"/": 6', '"/": 8'))
    with pytest.raises(DataError, match="ids must follow each other without a gap"):
        HuggingFaceTokenizer.from_folder(folder)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    with pytest.raises(UsageError, match=r"must hold a tokenizer\.json"):
        HuggingFaceTokenizer.from_folder(tmp_path)
