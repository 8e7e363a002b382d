"""A conversation goes on behind what was said, laid out as in training; the command line asks it turn by turn."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.tokens import Tokens

from uniaudio.cli import main
from uniaudio.lm.answer import Generated, GeneratedSegment
from uniaudio.run.conversation import Conversation, answered
from uniaudio.run.folder import Parts, save_parts
from uniaudio.run.model import UniAudio
from uniaudio.run.options import Options
from uniaudio.sequence.build import build_sequence
from uniaudio.sequence.layout import Grid, grid_of
from uniaudio.tasks.conversation import Turn, conversation

SHORT = Options(max_seconds=0.4, max_text=6)


@pytest.fixture
def folder(parts: Parts, tmp_path: Path) -> Path:
    save_parts(replace(parts, tasks=frozenset({"conversation"})), tmp_path / "model")
    return tmp_path / "model"


def heard(model: UniAudio, monkeypatch: pytest.MonkeyPatch) -> list[Grid]:
    """The prompt of every answer, as it comes."""
    grids: list[Grid] = []
    write = UniAudio.write
    monkeypatch.setattr(
        UniAudio, "write", lambda self, grid, *more, **named: grids.append(grid) or write(self, grid, *more, **named)
    )
    return grids


def test_turns_of_text_and_audio_are_laid_out_as_training_lays_them_out(
    model: UniAudio, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's own answers are put where training has the true ones."""
    prompts, talk, parts = heard(model, monkeypatch), Conversation(model, SHORT), model.parts
    first = talk.ask("What is said here?", audio=clip)
    spoken = talk.ask("Say this.", words="good morning", speaks=True)
    last = talk.ask("How was that?")
    assert talk.num_turns == 3
    assert spoken.audio.dtype == np.float32 and len(spoken.audio)
    codes = model.codec.encode([clip])[0]
    clips = {
        "a": (codes.reasoning, codes.reconstruction),
        "b": (spoken.generated.reasoning_codes, spoken.generated.reconstruction_codes),
    }
    tokens = {
        name: Tokens(clip_id=name, num_samples=9_600, reasoning_codes=some[0], reconstruction_codes=some[1])
        for name, some in clips.items()
    }
    turns = [
        Turn(kind="emotion", clip_id="a", request="What is said here?", answer="true"),
        Turn(kind="speak", clip_id="b", request="Say this.", words="good morning"),
        Turn(kind="emotion", clip_id="b", request="How was that?", answer="true"),
    ]
    row = conversation(turns, corpus="c", split="train")
    # The first answer stands in the middle: its own ids, between what is equal before and behind.
    trained = grid_of(build_sequence(row, tokens, parts.tokenizer, parts.vocabulary))
    own = next(iter(answered(first.generated, parts.vocabulary)))
    num_before, num_answer = len(prompts[0]), len(own.ids)
    num_true = len("true") + 2
    whole = np.concatenate(
        [
            trained.ids[:num_before],
            prompts[2].ids[num_before : num_before + num_answer],
            trained.ids[num_before + num_true : -num_true],
        ]
    )
    assert (prompts[0].ids == trained.ids[:num_before]).all()
    assert (prompts[2].ids[num_before : num_before + num_answer, 8] == own.ids).all()
    assert (prompts[2].ids == whole).all()
    assert last.name == "turn 3"


def test_an_answer_is_closed_where_it_opened_a_wrapper_and_where_it_was_cut_off(model: UniAudio) -> None:
    special = model.parts.vocabulary.text_specials
    ids = np.array([special["transcription_start"], special["bos"], 65], np.int32)
    (segment,) = answered(Generated((GeneratedSegment("text", ids, "length"),)), model.parts.vocabulary)
    assert segment.ids.tolist() == [*ids, special["eos"], special["transcription_end"]]
    assert not segment.loss


@pytest.mark.parametrize(
    ("turn", "message"),
    [({}, "must ask something or give a clip"), ({"request": "Say", "words": "hi"}, "must be spoken, but the turn")],
)
def test_a_turn_that_cannot_be_answered_leaves_the_conversation_as_it_was(
    model: UniAudio, turn: dict, message: str
) -> None:
    talk = Conversation(model, SHORT)
    with pytest.raises(UsageError, match=message):
        talk.ask(**turn)
    assert talk.num_turns == 0


def test_a_model_without_conversations_is_refused(parts: Parts) -> None:
    with pytest.raises(UsageError, match="trained on conversations, but was trained on asr"):
        Conversation(UniAudio(replace(parts, tasks=frozenset({"asr"}))))


def run(*arguments: object) -> int:
    return main(["run", *map(str, arguments), "--max-text", "6", "--max-seconds", "0.4"])


def test_the_command_line_answers_each_turn_in_text_or_in_sound(
    folder: Path, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "reply.wav"
    turns = ["--turn", "What is said?", clip_folder / "0.wav", "--speak", "Say this.", "hello", "--turn", "And now?"]
    assert run("conversation", *turns, "--out", out, "--jsonl", "-", "--model", folder) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["turn"] for line in lines] == [1, 2, 3]
    assert [sorted({"text", "audio"} & set(line)) for line in lines] == [["text"], ["audio"], ["text"]]
    assert lines[1]["audio"] == [str(out)] and out.stat().st_size > 44


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs turns"),
        (["clip.wav", "--turn", "a"], "uses no `inputs`"),
        (["--turn", "a", "b"], "`--turn` must hold at most 1 text and one audio file, but holds a, b"),
        (["--speak", "a"], "`--out` must be a .wav or .flac file, but is empty"),
        (["--turn", "a", "--out", "x.wav"], "answered in sound, but none is"),
        (["--turn", "a", "--stream"], "a conversation has turns"),
    ],
)
def test_what_is_no_conversation_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("conversation", *arguments) == 2
    assert message in capsys.readouterr().err
    assert run("asr", "clip.wav", "--turn", "a") == 2
    assert "must be used with conversation, but the task is asr" in capsys.readouterr().err
