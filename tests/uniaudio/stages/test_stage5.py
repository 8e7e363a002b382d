"""Instruction tuning learns conversations, keeps the other tasks among what it draws, and no other stage draws a conversation."""

from dataclasses import replace

import numpy as np
import pytest
from uniaudio_schemas.kinds.record import to_table
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio_schemas.kinds.tokens import Tokens

from uniaudio.sequence.build import build_sequence
from uniaudio.stages.sizes import LENGTHS
from uniaudio.stages.stage5_instructions import CONVERSATION_GROUP
from uniaudio.stages.stage6_preference import PREFERENCE_GROUP
from uniaudio.stages.table import ALL_STAGES, STAGES, stage_config
from uniaudio.tasks.conversation import Turn, conversation
from uniaudio.tasks.table import TASKS
from uniaudio.text.tokenizer import ByteTokenizer
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import TASKS as DOUBLES
from uniaudio.training.lm.doubles import WORDS, tiny_lm, tiny_sequences, tiny_vocabulary
from uniaudio.training.lm.train import train_stage
from uniaudio.training.sequences.dataset import SequenceSet

NUM_TRAIN, NUM_HELD_OUT = 12, 3


def a_conversation(split: str, number: int) -> Sequence:
    """Four turns about two clips; the codes of a clip spell its word."""
    first, second = (WORDS[(number + step) % len(WORDS)] for step in (0, 1))
    turns = [
        Turn(kind="transcript", clip_id=first, request="hear?", answer=first),
        Turn(kind="repeat", clip_id=first, request="again"),
        Turn(kind="speak", clip_id=second, request="say", words=second),
        Turn(kind="language", clip_id=second, request="tongue?", answer="song"),
    ]
    codes = {
        word: np.repeat(np.frombuffer(word.encode(), np.uint8)[:, None] % 64, 8, axis=1) for word in (first, second)
    }
    tokens = {
        word: Tokens(clip_id=word, num_samples=4_800, reasoning_codes=found[:1].astype(np.int16), reconstruction_codes=found.astype(np.int16))
        for word, found in codes.items()
    }  # fmt: skip
    row = conversation(turns, corpus="synthetic", split=split)
    sequence = build_sequence(row, tokens, ByteTokenizer(), tiny_vocabulary())
    return replace(sequence, sequence_id=f"{split}{number:030}")


@pytest.fixture(scope="module")
def sequences() -> SequenceSet:
    talk = [a_conversation("train", number) for number in range(NUM_TRAIN)]
    talk += [a_conversation("val", number) for number in range(NUM_HELD_OUT)]
    return SequenceSet.of([to_table([*tiny_sequences(), *talk], Sequence)], "content")


def drawn(sequences: SequenceSet, name: str, num_steps: int) -> dict[str, int]:
    """Mixture group -> its positions among what the first steps draw."""
    stage = replace(stage_config(name), context=256, num_rows=4, size_exponent=0.0)
    data = MixtureData(sequences, tiny_vocabulary(), stage, 0)
    found: dict[str, int] = {}
    for _ in range(num_steps):
        for draw in (draw for row in data.next_step().rows for draw in row):
            length = int(data.groups[draw.group].lengths[draw.index])
            found[draw.group] = found.get(draw.group, 0) + length
    return found


def test_conversations_are_most_of_what_is_drawn_and_nothing_is_left_out(sequences: SequenceSet) -> None:
    found = drawn(sequences, "stage5", 200)
    total = sum(found.values())
    weights = {group: stage_config("stage5").mixture[0].weight_of(group) for group in sequences.group_names}
    assert weights == {
        "conversation": 48,
        "text_only": 16,
        "audio_only": 1,
        "asr": 1,
        "tts": 1,
        "auditory_sentences": 1,
    }
    for group, weight in weights.items():
        assert found[group] / total == pytest.approx(weight / sum(weights.values()), rel=0.1)


def test_where_every_task_has_examples_half_of_the_tokens_are_conversations() -> None:
    phase = stage_config("stage5", "paper_3b").mixture[0]
    groups = {task.mixture for task in TASKS.values()} - {PREFERENCE_GROUP}
    weights = {group: phase.weight_of(group) for group in groups}
    assert phase.weight_of(PREFERENCE_GROUP) == 0
    assert 0.45 < weights[CONVERSATION_GROUP] / sum(weights.values()) < 0.55
    assert min(weights.values()) > 0


@pytest.mark.parametrize("name", STAGES)
def test_no_other_stage_draws_a_conversation(name: str, sequences: SequenceSet) -> None:
    assert CONVERSATION_GROUP not in drawn(sequences, name, 10)
    data = MixtureData(sequences, tiny_vocabulary(), replace(stage_config(name), context=256), 0)
    assert CONVERSATION_GROUP not in data.held_out()


def loss_of_conversations(sequences: SequenceSet, *, trained_in: str) -> tuple[float, float]:
    """Before and after 15 steps of a stage, as stage 5 holds them out."""
    short = {"context": 256, "num_rows": 2, "learning_rate": 1e-2, "num_threads": 1, "num_held_out": NUM_HELD_OUT}
    model, stage = tiny_lm(), replace(stage_config(trained_in), num_steps=15, **short)
    judge = replace(stage_config("stage5"), num_steps=1, **short)
    fresh = train_stage(tiny_lm(), judge, MixtureData(sequences, tiny_vocabulary(), judge, 0)).held_out
    assert fresh.keys() == {*DOUBLES, CONVERSATION_GROUP}
    train_stage(model, stage, MixtureData(sequences, tiny_vocabulary(), stage, 0))
    learned = train_stage(model, judge, MixtureData(sequences, tiny_vocabulary(), judge, 0)).held_out
    return fresh[CONVERSATION_GROUP].before, learned[CONVERSATION_GROUP].before


def test_it_lowers_the_held_out_loss_of_conversations_and_further_than_stage_four(sequences: SequenceSet) -> None:
    before, after = loss_of_conversations(sequences, trained_in="stage5")
    assert after < 0.8 * before
    assert after < loss_of_conversations(sequences, trained_in="stage4")[1]


def test_no_conversation_loses_its_questions() -> None:
    """Guidance drops the whole condition, which here is the questions of text answers too."""
    assert stage_config("stage5").condition_dropout == 0
    assert stage_config("stage4").condition_dropout > 0


@pytest.mark.parametrize("size", LENGTHS)
def test_it_goes_on_like_stage_four(size: str) -> None:
    four, five = stage_config("stage4", size), stage_config("stage5", size)
    same = ("context", "num_rows", "learning_rate", "text_weight", "stream_weights", "trains")
    assert {name: getattr(five, name) for name in same} == {name: getattr(four, name) for name in same}
    assert five.num_steps <= four.num_steps
    assert list(ALL_STAGES) == [*STAGES, "stage5", "stage6"]
