"""The vocabulary: ranges that cannot overlap, and an identity that survives JSON."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.errors import DataError, FingerprintError, UsageError

from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import ByteTokenizer

RELEASED = {
    "text_pad_token": 258, "semantic_pad_token": 8194, "semantic_eos": 8192, "semantic_bos": 8193, "reason_eos": 4097, "reason_bos": 4096,
    "reason_pad_token": 4099, "parallel_number": 9, "audio_reason_card": 4100, "audio_semantic_card": 8200, "audio_prompt_bos": 12296,
    "audio_prompt_eos": 12297,
}  # fmt: skip


@given(st.integers(1, 8192), st.integers(1, 16384))
def test_json_keeps_a_vocabulary_and_its_fingerprint(reasoning: int, reconstruction: int) -> None:
    vocabulary = Vocabulary.build(ByteTokenizer(), reasoning, reconstruction)
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary
    assert again.fingerprint == vocabulary.fingerprint


def test_the_order_of_keys_does_not_matter() -> None:
    vocabulary = Vocabulary()
    values = json.loads(vocabulary.to_json())
    shuffled = list(values.items())
    random.Random(1).shuffle(shuffled)
    values = dict(shuffled)
    values["text_specials"] = dict(reversed(values["text_specials"].items()))
    assert Vocabulary.from_json(json.dumps(values)).fingerprint == vocabulary.fingerprint
    assert Vocabulary.from_json(json.dumps(values)).to_json() == vocabulary.to_json()


def test_any_changed_id_changes_the_fingerprint() -> None:
    vocabulary = Vocabulary()
    assert replace(vocabulary, reasoning_pad=66).fingerprint != vocabulary.fingerprint
    assert replace(vocabulary, audio_size=205).fingerprint != vocabulary.fingerprint


def test_a_vocabulary_does_not_change_with_the_dictionary_it_was_made_from() -> None:
    specials = dict(ByteTokenizer.specials)
    vocabulary = Vocabulary(text_specials=specials)
    before = vocabulary.fingerprint
    specials["pad"] = 3
    assert vocabulary.fingerprint == before


@pytest.mark.parametrize(
    "change",
    [
        {"reasoning_eos": 64},
        {"reasoning_bos": 3},
        {"reconstruction_bos": 100},
        {"audio_prompt_eos": 199},
        {"audio_prompt_eos": 204},
        {"reasoning_pad": 203},
        {"reconstruction_pad": 66},
        {"reconstruction_offset": 60},
        {"text_specials": {"pad": 999}},
        {"text_specials": {"pad": 260, "bos": 260}},
        {"text_specials": {"bos": 260}},
        {"audio_size": 40_000},
    ],
    ids=str,
)
def test_ids_that_collide_or_lie_outside_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="must"):
        replace(Vocabulary(), **change)


def test_a_missing_field_is_never_guessed() -> None:
    values = json.loads(Vocabulary().to_json())
    del values["reasoning_pad"]
    with pytest.raises(DataError, match="vocabulary: must have all fields of Vocabulary, but lacks reasoning_pad"):
        Vocabulary.from_json(json.dumps(values))


def test_the_released_vocabulary_offsets_the_reconstruction_specials_alone() -> None:
    vocabulary = Vocabulary.released(ByteTokenizer(), RELEASED)
    assert (vocabulary.reasoning_bos, vocabulary.reconstruction_bos) == (4096, 8193 + 4100)
    assert (vocabulary.audio_prompt_bos, vocabulary.audio_prompt_eos) == (12296, 12297)
    assert vocabulary.audio_size == 12300


def test_the_released_default_of_the_audio_prompt_is_refused_because_it_is_a_code() -> None:
    with pytest.raises(UsageError, match="audio_prompt_bos"):
        Vocabulary.released(ByteTokenizer(), {**RELEASED, "audio_prompt_bos": 8196, "audio_prompt_eos": 8197})


def test_a_mismatch_stops() -> None:
    Vocabulary().require(Vocabulary().fingerprint, "the sequences")
    with pytest.raises(FingerprintError, match="the sequences must be made with"):
        Vocabulary().require(replace(Vocabulary(), audio_size=205).fingerprint, "the sequences")
