"""Pairs of answers are built from what annotations say, and go all the way from clips to a step of the stage."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from uniaudio_pipelines.annotated_to_instructions import preferences
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import Built, NotBuilt
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds.annotated import Annotated, Fact
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.store import Store

from tests.pipelines.annotated_to_instructions.corpus import (
    ALL,
    RATE,
    SHARES,
    a_clip,
    a_rich_corpus,
    build,
    rows_of,
    write,
)
from tests.pipelines.instructions_to_tokens import token_corpus
from uniaudio.codec.doubles import BatchingCodec
from uniaudio.tasks.preference import GROUP, PREFERENCE_TASKS
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_lm, tiny_vocabulary
from uniaudio.training.lm.train import train_stage
from uniaudio.training.sequences.dataset import SequenceSet

CONTEXT = Context(job=ALL)
ALONE = AnnotatedToInstructions(**{**dict.fromkeys(SHARES, 0.0), "preference_share": 1.0})


def pairs(clips: Sequence[Annotated], task: str, context: Context = CONTEXT) -> list[Instruction]:
    found = [one.instruction for one in preferences.preferences(clips, context) if isinstance(one, Built)]
    return [row for row in found if row.task == f"preferred_{task}"]


def halves(row: Instruction) -> tuple[list, list]:
    """The segments of each answer; what is asked stands before both, word for word."""
    first = [part.loss for part in row.segments].index(True)
    chosen = [part for part in row.segments if part.loss]
    again = row.segments[first + len(chosen) :]
    assert again[:first] == row.segments[:first]
    assert len(again) == first + len(chosen) and not any(part.loss for part in again)
    return chosen, again[first:]


def texts_of(row: Instruction) -> tuple[str, str]:
    (chosen,), (rejected,) = halves(row)
    return chosen.text, rejected.text


def spoken(name: str, said: str, heard: str | None = None, **more: object) -> Annotated:
    return a_clip(name, "speech", given_text=said, transcript=heard, **more)


@pytest.mark.parametrize(
    ("said", "heard", "is_pair"),
    [
        ("open the old door", "open the cold door", True),
        ("Open the old door!", "open the old door", False),
        ("room nineteen is open", "room 19 is open", False),
        ("open the old door", "ladies and gentlemen welcome", False),
        ("open the old door", "", False),
    ],
    ids=["misheard", "case and points", "a number in digits", "something else altogether", "nothing was heard"],
)
def test_a_script_is_preferred_to_what_was_misheard(said: str, heard: str, is_pair: bool) -> None:
    rows = pairs([spoken("x", said, heard)], "asr")
    assert [texts_of(row) for row in rows] == ([(said, heard)] if is_pair else [])


def test_without_a_script_nobody_knows_what_was_misheard() -> None:
    assert pairs([a_clip("x", "speech", transcript="open the old door")], "asr") == []


def written(path: Path, answers: dict[str, list[str]]) -> str:
    """As `uniaudio run asr --jsonl` writes them."""
    lines = [
        {"input": name, "task": "asr", "finished": "stop", "seed": 0, "text": text}
        for name, some in answers.items()
        for text in some
    ]
    path.write_text(
        "".join(json.dumps(line) + "\n" for line in [*lines, {"input": "x", "task": "asr", "error": "broken"}])
    )
    return str(path)


def test_of_what_a_checkpoint_wrote_the_worst_is_rejected(tmp_path: Path) -> None:
    said = "open the old door"
    file = written(
        tmp_path / "answers.jsonl",
        {"/data/c/x": ["open the cold door", "shut that new box", said], "/data/other/x": ["no"], "c/y": [said]},
    )
    clips = [spoken(name, said, "open the odd door") for name in "xyz"]
    rows = pairs(clips, "asr", Context(job=replace(ALL, answers=file)))
    assert {row.clip_ids[0]: texts_of(row)[1] for row in rows} == {"x": "shut that new box", "z": "open the odd door"}


def test_the_answers_and_not_their_place_are_part_of_the_plan(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    write(store, [spoken("x", "open the old door")])
    plans = [
        replace(ALONE, answers=written(tmp_path / name, {"c/x": [text]})).plan(store).plan_id
        for name, text in (("a", "one"), ("b", "one"), ("c", "two"))
    ]
    assert plans[0] == plans[1] != plans[2]
    with pytest.raises(UsageError, match="`answers` must be a file of JSON lines, but is nowhere"):
        replace(ALONE, answers="nowhere").plan(store)
    (tmp_path / "broken").write_text("{}\n")
    with pytest.raises(DataError, match="broken: line 1: must be a line of"):
        pairs([spoken("x", "a b", "a c")], "asr", Context(job=replace(ALL, answers=str(tmp_path / "broken"))))


def test_a_true_value_is_preferred_to_one_of_another_clip_that_is_offered_too() -> None:
    moods = ("happy", "sad")
    clips = [spoken(f"s{n}", f"line {n}", facts=[Fact(name="emotion", value=moods[n % 2])]) for n in range(6)]
    rows = pairs(clips, "audio_understanding")
    assert len(rows) == 6
    for row in rows:
        chosen, rejected = texts_of(row)
        (clip,) = (clip for clip in clips if clip.clip_id in row.clip_ids)
        assert chosen == clip.facts[0].value and rejected in moods and rejected != chosen
        assert chosen in row.segments[1].text and rejected in row.segments[1].text


def test_a_value_that_is_often_measured_wrong_is_not_preferred() -> None:
    clips = [a_clip(f"m{n}", "music", key=("C major", "F minor")[n % 2]) for n in range(4)]
    assert pairs(clips, "audio_understanding") == []
    slow = [replace(clip, tempo_bpm=(60.0, 160.0)[n % 2]) for n, clip in enumerate(clips)]
    assert {frozenset(texts_of(row)) for row in pairs(slow, "audio_understanding")} == {frozenset({"slow", "fast"})}


def test_a_caption_is_preferred_to_one_that_shares_no_word_with_it() -> None:
    captions = ("a dog barks in the yard", "another dog barks", "rain falls on a roof")
    clips = [a_clip(f"c{n}", "sound", caption=caption) for n, caption in enumerate(captions)]
    clips.append(a_clip("m", "music", caption="a slow waltz for strings"))
    found = dict(texts_of(row) for row in pairs(clips, "audio_caption"))
    assert found[captions[0]] == found[captions[1]] == captions[2]
    assert found[captions[2]] in captions[:2]
    assert pairs(clips, "music_caption") == []


def test_speech_is_preferred_to_noise_to_half_of_it_and_to_other_words() -> None:
    clips = {f"s{n:02}": spoken(f"s{n:02}", f"line {n % 7}") for n in range(40)}
    ways = set()
    for row in pairs(list(clips.values()), "tts"):
        (own, also), (worse, both) = halves(row)
        assert own.clip_id == also.clip_id in clips and worse.clip_id == both.clip_id != own.clip_id
        assert [part.text for part in row.segments if part.kind == "text"] == [clips[own.clip_id].given_text] * 2
        if not row.recipes:
            ways.add("other words")
            assert clips[worse.clip_id].given_text != clips[own.clip_id].given_text
            continue
        (recipe,) = row.recipes
        ways.add(recipe.operation)
        assert recipe.parents == [own.clip_id] and recipe.clip_id == worse.clip_id
        parameters = json.loads(recipe.parameters)
        if recipe.operation == "crop":
            assert 0.29 < recipe.num_samples / (2 * RATE) < 0.71
        else:
            assert 0.0 <= parameters["snr_db"] <= 10.0
    assert ways == {"other words", "crop", "add_noise"}


def test_speech_that_is_no_target_is_not_preferred() -> None:
    clips = [spoken(f"s{n}", f"line {n}", mos=1.0) for n in range(4)]
    assert pairs(clips, "tts", Context(job=replace(ALL, min_mos=3.0))) == []
    assert len(pairs(clips, "tts")) == 4


def test_where_nothing_answers_worse_it_is_said() -> None:
    (outcome,) = preferences.preferences([a_clip("x", "music", caption="a tune")], CONTEXT)
    assert isinstance(outcome, NotBuilt)
    assert (outcome.anchor, outcome.task, outcome.reason) == ("x", "preferred_music_caption", "no_worse_answer")


def test_pairs_are_the_same_whatever_the_shards(tmp_path: Path) -> None:
    one, three = (build(tmp_path / str(n), a_rich_corpus(), ALONE, n) for n in (1, 3))
    assert one[1].content_id == three[1].content_id
    tasks = {row.task for row in rows_of(*one) if row.mixture == GROUP}
    assert tasks == {task.name for task in PREFERENCE_TASKS}


@pytest.mark.slow
def test_pairs_move_no_other_example(tmp_path: Path) -> None:
    with_it, without = (
        rows_of(*build(tmp_path / str(share), a_rich_corpus(), replace(ALL, preference_share=share)))
        for share in (1.0, 0.0)
    )
    assert without == [row for row in with_it if row.mixture != GROUP]


@pytest.mark.slow
def test_from_clips_to_a_step_of_the_stage(tmp_path: Path) -> None:
    """Real audio, every edge, a codec that sums frames up."""
    store = Store(tmp_path)
    raw, recordings = token_corpus.put_raw(store, [token_corpus.sound(RATE, seed) for seed in range(8)])
    clips = [
        replace(
            cut,
            split="val" if number >= 6 else "train",
            corpus="c",
            given_text=f"open door {number}",
            transcript=f"open floor {number}",
            duplicate_cluster=None,
            tags=[],
        )
        for number, cut in enumerate(token_corpus.cuts_of(recordings, 1))
    ]
    token_corpus.write(store, "annotated", {"c-00000": {"rows": clips}}, {"raw": raw.content_id})
    token_corpus.put_codec(store)
    run_edge(store, ALONE, InstructionWorker, num_workers=0, owner="test")
    token_corpus.tokenize(store, InstructionsToTokens(), BatchingCodec())
    manifest = run_edge(store, TokensToSequences(), SequenceWorker, num_workers=0, owner="test")
    assert manifest.dropped == {}

    job = SequencesToCheckpoint(stages=("stage6",), num_steps=2, num_rows=2)
    assert job.learnable(manifest) == ("stage6",)
    stage = replace(job.stage("stage6"), num_threads=1, num_held_out=1, log_every=1, learning_rate=1e-2)
    data = MixtureData(SequenceSet.open(store, manifest), tiny_vocabulary(), stage, 0)
    result = train_stage(tiny_lm(), stage, data)
    assert (result.state.step, result.state.num_skipped) == (2, 0)
    assert set(result.held_out) == {"preferred_asr", "preferred_tts"}
    losses = [point.value for point in result.state.points if point.name == "loss"]
    assert losses[1] < losses[0]
