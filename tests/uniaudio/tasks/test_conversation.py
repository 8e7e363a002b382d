"""Conversations: what is given and what is answered in each turn, and that every answer carries loss and nothing else does."""

import re
from typing import Any

import numpy as np
import pytest
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.annotated import Annotated, Fact
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.kinds.tokens import Tokens

from uniaudio.sequence.build import build_sequence
from uniaudio.sequence.layout import grid_of
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks.conversation import ASKED, CONVERSATION, Turn, choose_turns, conversation, turn_prompt, turns_of
from uniaudio.tasks.prompts import prompts_of
from uniaudio.text.tokenizer import ByteTokenizer

CHINESE = re.compile("[\u4e00-\u9fff]")
GIVEN_AND_ANSWERED = [
    Turn(kind="transcript", clip_id="a", request="What is said?", answer="let's go"),
    Turn(kind="repeat", clip_id="a", request="Again!"),
    Turn(kind="speak", clip_id="b", request="Say it.", words="hello"),
    Turn(kind="spoken_question", clip_id="c", answer="Yes."),
]


def a_clip(domain: str = "speech", **more: Any) -> Annotated:
    common = {"clip_id": "a", "raw_clip_id": "a", "path": "a", "corpus": "c", "licence": "x", "split": "train"}
    return Annotated(domain=domain, **{**common, **more})


def turns(clip: Annotated, *, language: str = "en", seed: int = 0, may_speak: bool = True, **wrong: Any) -> list[Turn]:
    return turns_of(clip, wrong, language=language, seed=seed, may_speak=may_speak)


def of(chosen: list[Turn]) -> Instruction:
    return conversation(chosen, corpus="c", split="train")


def test_a_turn_gives_a_clip_once_and_answers_with_text_or_sound() -> None:
    found = [
        (segment.kind, segment.text or segment.clip_id, segment.wrapper, segment.loss)
        for segment in of(GIVEN_AND_ANSWERED).segments
    ]
    assert found == [
        ("prompt", "What is said?", "", False),
        ("reasoning", "a", "", False),
        ("reconstruction", "a", "", False),
        ("text", "let's go", "transcription", True),
        ("prompt", "Again!", "", False),
        ("reasoning", "a", "", True),
        ("reconstruction", "a", "", True),
        ("prompt", "Say it.", "", False),
        ("text", "hello", "transcription", False),
        ("reasoning", "b", "", True),
        ("reconstruction", "b", "", True),
        ("reasoning", "c", "", False),
        ("reconstruction", "c", "", False),
        ("text", "Yes.", "", True),
    ]


def test_the_loss_lies_on_the_answers_of_every_turn_and_nowhere_else() -> None:
    """On the grid that is trained on: text spelled in bytes, begin and end included."""
    vocabulary = Vocabulary()
    tokens = {
        name: Tokens(
            clip_id=name,
            num_samples=9_600,
            reasoning_codes=np.full((2, 8), number, np.int16),
            reconstruction_codes=np.full((5, 8), number, np.int16),
        )
        for number, name in enumerate("abc")
    }
    grid = grid_of(build_sequence(of(GIVEN_AND_ANSWERED), tokens, ByteTokenizer(), vocabulary))
    tags = 2  # begin and end
    wrapped = 4  # those and the tags of a transcription
    clip = 2 + 5 + 2 * tags
    lengths = [
        (False, len("What is said?\n\n") + tags + clip),
        (True, len("let's go") + wrapped),
        (False, len("Again!\n\n") + tags),
        (True, clip),
        (False, len("Say it.\n\n") + tags + len("hello") + wrapped),
        (True, clip),
        (False, clip),
        (True, len("Yes.") + tags),
    ]
    assert grid.loss.tolist() == [loss for loss, length in lengths for _ in range(length)]


def test_a_conversation_has_two_to_four_turns() -> None:
    assert of(GIVEN_AND_ANSWERED[:2]).task == "conversation"
    with pytest.raises(UsageError, match="must lie in 2 … 4, but is 5"):
        of([*GIVEN_AND_ANSWERED, GIVEN_AND_ANSWERED[0]])


def test_a_clip_is_asked_for_what_its_annotations_say_and_for_nothing_else() -> None:
    speech = a_clip(given_text="hi", language="cs", style="A low voice.", facts=[Fact(name="emotion", value="sad")])
    found = {turn.kind: turn.answer for turn in turns(speech)}
    assert found == {
        "transcript": "hi", "voice": "A low voice.", "emotion": "sad", "language": "Czech", "repeat": "", "speak": "",
    }  # fmt: skip
    music = a_clip("music", caption="a slow tune", tempo_bpm=70.0, key="C major", tags=["folk"])
    found = {turn.kind: turn.answer for turn in turns(music)}
    assert found == {"caption": "a slow tune", "tempo": "slow", "key": "C major"}, "tags are asked among others alone"
    assert turns(a_clip("sound")) == turns(a_clip()) == []


def test_among_values_that_others_have_the_true_one_is_the_answer() -> None:
    clip = a_clip("sound", tags=["bell"])
    (turn,) = turns(clip, sound=["dog", "rain"])
    assert turn.answer == "bell"
    assert all(value in turn.request for value in ("bell", "dog", "rain"))


def test_what_is_heard_is_said_again_only_where_a_model_may_learn_to_speak_so() -> None:
    spoken = {"repeat", "speak"}
    assert {turn.kind for turn in turns(a_clip(given_text="hi"))} & spoken == spoken
    assert not {turn.kind for turn in turns(a_clip(given_text="hi"), may_speak=False)} & spoken
    impaired = a_clip(given_text="hi", facts=[Fact(name="dysarthria", value="severe")])
    assert not {turn.kind for turn in turns(impaired)} & spoken


def test_a_spoken_question_and_words_to_be_spoken_come_first_and_words_that_were_given_are_not_asked_for() -> None:
    clip = a_clip(given_text="hi", language="cs", style="low", facts=[Fact(name="answer", value="Yes.")])
    openers = {"speak", "spoken_question"}
    seen = set()
    for seed in range(60):
        first, *others = choose_turns(turns(clip, seed=seed), 4, seed)
        seen.add(first.kind)
        kinds = {turn.kind for turn in others}
        assert not kinds & openers
        assert len(kinds) == len(others) and first.kind not in kinds
        if first.kind == "speak":
            assert not kinds & {"transcript", "repeat"}
    assert seen == {"transcript", "voice", "language", "repeat", *openers}


def test_the_seed_and_the_clip_decide_the_turns() -> None:
    clip = a_clip(given_text="hi", language="cs", style="low")
    rows = [of(choose_turns(turns(clip, seed=seed), 3, seed)) for seed in (0, 0, *range(1, 12))]
    assert rows[0] == rows[1]
    assert len({row.instruction_id for row in rows}) > 6


@pytest.mark.parametrize("kind", ASKED)
def test_a_turn_is_asked_for_in_five_wordings_a_language(kind: str) -> None:
    assert {language: len(set(found)) for language, found in prompts_of(f"turn_{kind}").items()} == {"en": 5, "zh": 5}
    for language in ("en", "zh", "cs"):
        found = {turn_prompt(kind, language, f"{number:x}") for number in range(5)}
        assert len(found) == 5
        assert all(bool(CHINESE.search(wording)) == (language == "zh") for wording in found)


def test_it_is_declared_like_any_other_task() -> None:
    assert CONVERSATION.mixture == "conversation"
    assert CONVERSATION.describe() == (
        "request 1 …, words 1 …, audio 1 … -> transcript 1 …, caption 1 …, answer 1 …, reply 1 …"
    )
