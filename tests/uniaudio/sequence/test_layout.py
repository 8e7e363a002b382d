"""Segments on the grid, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.instructions import Instruction, InstructionSegment
from uniaudio_schemas.kinds.record import from_table, to_table
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio_schemas.kinds.tokens import Tokens

from uniaudio.sequence.build import AUDIO_PROMPT_FRAMES, build_sequence
from uniaudio.sequence.condition_dropout import without_condition
from uniaudio.sequence.layout import codes_of, grid_of, lay_out, num_positions, pick_up
from uniaudio.sequence.segments import Segment, audio_segment, text_segment
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import ByteTokenizer

VOCABULARY, TOKENIZER = Vocabulary(), ByteTokenizer()
SIZES = {"reasoning": 64, "reconstruction": 128, "audio_prompt": 128}


def some_codes(num_frames: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, size, (num_frames, 8)).astype(np.int16)


@st.composite
def a_segment(draw: st.DrawFn) -> Segment:
    loss = draw(st.booleans())
    if draw(st.booleans()):
        wrapper = draw(st.sampled_from(["", "transcription", "lyric", "caption", "think", "answer"]))
        return text_segment(draw(st.text(max_size=6)), wrapper, TOKENIZER, loss=loss)
    kind = draw(st.sampled_from(sorted(SIZES)))
    codes = some_codes(draw(st.integers(0, 5)), SIZES[kind], draw(st.integers(0, 99)))
    return audio_segment(kind, codes, VOCABULARY, loss=loss)


@given(st.lists(a_segment(), max_size=6))
def test_picking_up_inverts_laying_out(segments: list[Segment]) -> None:
    assert pick_up(lay_out(segments), VOCABULARY) == segments


@given(st.lists(a_segment(), max_size=6))
def test_a_position_is_text_or_audio_and_never_both(segments: list[Segment]) -> None:
    grid = lay_out(segments)
    assert grid.ids.dtype == np.int64
    assert grid.ids.shape == (len(grid), 9)
    assert not grid.ids[grid.is_audio, 8].any()
    assert not grid.ids[~grid.is_audio, :8].any()


@given(st.sampled_from(sorted(SIZES)), st.integers(0, 9), st.integers(0, 99))
def test_codes_come_back_without_their_offset(kind: str, num_frames: int, seed: int) -> None:
    codes = some_codes(num_frames, SIZES[kind], seed)
    found, again = codes_of(audio_segment(kind, codes, VOCABULARY, loss=False), VOCABULARY)
    assert found == kind
    assert np.array_equal(again, codes)


def test_a_wrapper_stands_around_the_begin_and_end_of_text() -> None:
    special = TOKENIZER.specials
    ids = text_segment("hi", "lyric", TOKENIZER, loss=False).ids.tolist()
    assert ids == [special["lyric_start"], special["bos"], 104, 105, special["eos"], special["lyric_end"]]


def test_a_code_outside_its_codebook_is_refused() -> None:
    with pytest.raises(DataError, match="must lie in 0 … 63"):
        audio_segment("reasoning", np.full((2, 8), 64), VOCABULARY, loss=False)
    with pytest.raises(DataError, match=r"must be \[frames, 8\]"):
        audio_segment("reasoning", np.zeros((8, 2, 1)), VOCABULARY, loss=False)


def test_a_grid_that_is_cut_off_is_refused() -> None:
    grid = lay_out([Segment(audio_segment("reasoning", some_codes(3, 64), VOCABULARY, loss=False).ids[:-1], False)])
    with pytest.raises(DataError, match="must end with"):
        pick_up(grid, VOCABULARY)


def an_instruction(*segments: InstructionSegment, name: str = "a") -> Instruction:
    return Instruction(
        instruction_id=name, task="t", mixture="t", split="train", corpus="c", segments=list(segments), clip_ids=["x"]
    )


def tokens_of(num_frames: int) -> dict[str, Tokens]:
    reasoning, reconstruction = some_codes(3, 64), some_codes(num_frames, 128)
    return {"x": Tokens(clip_id="x", num_samples=1, reasoning_codes=reasoning, reconstruction_codes=reconstruction)}


def test_tts_is_laid_out_as_the_specification_shows() -> None:
    """Prompt, tag, 'hi', tag, then 3 reasoning and 6 reconstruction frames with their begin and end."""
    row = an_instruction(
        InstructionSegment(kind="prompt", loss=False, text="say"),
        InstructionSegment(kind="text", loss=False, text="hi", wrapper="transcription"),
        InstructionSegment(kind="reasoning", loss=True, clip_id="x"),
        InstructionSegment(kind="reconstruction", loss=True, clip_id="x"),
    )
    sequence = build_sequence(row, tokens_of(6), TOKENIZER, VOCABULARY)
    grid = grid_of(sequence)
    prompt = 7
    assert num_positions(sequence) == len(grid) == prompt + 19
    assert grid.ids[:prompt, 8].tolist() == [256, *b"say\n\n", 257]
    assert grid.loss.tolist() == [False] * (prompt + 6) + [True] * 13
    assert grid.ids[prompt + 6, 0] == VOCABULARY.reasoning_bos
    assert grid.ids[prompt + 11, 7] == VOCABULARY.reconstruction_bos
    assert (grid.ids[prompt + 12 : -1, :8] >= VOCABULARY.reconstruction_offset).all()


def test_a_sequence_survives_its_table() -> None:
    row = an_instruction(
        InstructionSegment(kind="audio_prompt", loss=False, clip_id="x"),
        InstructionSegment(kind="text", loss=True, text="ä"),
    )
    sequence = build_sequence(row, tokens_of(90), TOKENIZER, VOCABULARY)
    (again,) = from_table(to_table([sequence], Sequence), Sequence)
    assert again == sequence
    assert np.array_equal(grid_of(again).ids, grid_of(sequence).ids)


def test_a_long_audio_prompt_is_three_seconds_from_a_place_that_the_instruction_decides() -> None:
    def prompt(name: str) -> np.ndarray:
        row = an_instruction(InstructionSegment(kind="audio_prompt", loss=False, clip_id="x"), name=name)
        return build_sequence(row, tokens_of(200), TOKENIZER, VOCABULARY).audio_ids

    assert len(prompt("a")) == AUDIO_PROMPT_FRAMES + 2
    assert np.array_equal(prompt("a"), prompt("a"))
    assert not np.array_equal(prompt("a"), prompt("b"))


def test_text_only_needs_no_tokens() -> None:
    row = an_instruction(InstructionSegment(kind="text", loss=True, text="hi"))
    sequence = build_sequence(row, {}, TOKENIZER, VOCABULARY)
    assert sequence.audio_ids.shape == (0, 8)
    assert sequence.text_ids.tolist() == [256, 104, 105, 257]


def test_a_clip_without_tokens_is_named() -> None:
    with pytest.raises(KeyError, match="x"):
        build_sequence(
            an_instruction(InstructionSegment(kind="reasoning", loss=True, clip_id="x")), {}, TOKENIZER, VOCABULARY
        )


def test_an_unknown_kind_of_segment_is_refused() -> None:
    with pytest.raises(UsageError, match="'video'"):
        build_sequence(an_instruction(InstructionSegment(kind="video", loss=True)), {}, TOKENIZER, VOCABULARY)


@given(st.lists(a_segment(), min_size=1, max_size=5))
def test_dropping_the_condition_keeps_the_answer_and_every_mask(segments: list[Segment]) -> None:
    grid = lay_out(segments)
    dropped = without_condition(grid, VOCABULARY)
    assert np.array_equal(dropped.ids[grid.loss], grid.ids[grid.loss])
    assert np.array_equal(dropped.is_audio, grid.is_audio)
    condition = dropped.ids[~grid.loss]
    assert set(condition[~grid.is_audio[~grid.loss], 8].tolist()) <= {VOCABULARY.text_pad}
    pads = {VOCABULARY.reasoning_pad, VOCABULARY.reconstruction_pad}
    assert set(condition[grid.is_audio[~grid.loss], :8].flatten().tolist()) <= pads
