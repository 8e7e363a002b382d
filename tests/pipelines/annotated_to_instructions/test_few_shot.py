"""Few-shot examples: solved pairs of one kind, then a question whose answer no pair shows."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import Built, NotBuilt, Outcome
from uniaudio_pipelines.annotated_to_instructions.few_shot import enhancements, made_conversions, recorded_conversions
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction, Recipe

from uniaudio.stages.table import STAGES
from uniaudio.tasks.recipes import positions_of, samples_of

RATE = 24_000
ALL = AnnotatedToInstructions(few_shot_share=1.0)


def a_clip(name: str, speaker: str | None = "ann", **more: Any) -> Annotated:
    common = {
        "raw_clip_id": name,
        "path": name,
        "corpus": "c",
        "licence": "CC0-1.0",
        "domain": "speech",
        "split": "train",
    }
    sound = {"num_samples": 2 * RATE, "sample_rate": RATE, "channels": 1, "given_text": f"words of {name}"}
    return Annotated(clip_id=name, speaker=speaker, **{**common, **sound, **more})


def built(clips: Sequence[Annotated], job: AnnotatedToInstructions = ALL) -> dict[str, list[Instruction]]:
    found: dict[str, list[Instruction]] = {"speech_enhancement": [], "voice_conversion": []}
    for outcome in outcomes_of(clips, job):
        if isinstance(outcome, Built):
            assert outcome.anchor.clip_id == clips_of(outcome.instruction)[-1]
            found[outcome.instruction.task].append(outcome.instruction)
    return found


def outcomes_of(clips: Sequence[Annotated], job: AnnotatedToInstructions = ALL) -> list[Outcome]:
    voices = sorted({str(clip.speaker) for clip in clips})
    made = [made_conversions([clip for clip in clips if clip.speaker == voice], Context(job=job)) for voice in voices]
    return [*enhancements(clips, Context(job=job)), *(outcome for of_voice in made for outcome in of_voice)]


def clips_of(row: Instruction) -> list[str]:
    """Source and target of each pair, then of the question."""
    return [segment.clip_id for segment in row.segments if segment.kind == "reasoning"]


def recipes_of(row: Instruction) -> list[Recipe]:
    """Of the sources, in order."""
    recipes = {recipe.clip_id: recipe for recipe in row.recipes}
    return [recipes[clip] for clip in clips_of(row)[::2]]


@pytest.fixture
def ten() -> list[Annotated]:
    return [a_clip(f"s{index}", "ann" if index < 6 else "bob") for index in range(10)]


def test_a_source_is_made_of_its_target_in_one_way_throughout_an_example(ten: list[Annotated]) -> None:
    rows = built(ten)
    operations = set()
    for row in [*rows["speech_enhancement"], *rows["voice_conversion"]]:
        recipes = recipes_of(row)
        assert [recipe.parents for recipe in recipes] == [[target] for target in clips_of(row)[1::2]]
        assert len({(recipe.operation, recipe.parameters) for recipe in recipes}) == 1
        operations.add(recipes[0].operation)
    assert operations == {"add_noise", "band_limit", "reverberate", "shift_voice"}


def test_noise_differs_from_clip_to_clip_and_a_room_does_not(ten: list[Annotated]) -> None:
    for row in built(ten)["speech_enhancement"]:
        recipes = recipes_of(row)
        seeds = {recipe.seed for recipe in recipes}
        assert len(seeds) == (1 if recipes[0].operation == "reverberate" else len(recipes))


def test_there_are_one_to_three_pairs_and_no_clip_stands_twice(ten: list[Annotated]) -> None:
    rows = built(ten)
    for task in rows:
        assert {len(clips_of(row)) // 2 - 1 for row in rows[task]} == {1, 2, 3}
        assert all(len(set(clips_of(row))) == len(clips_of(row)) for row in rows[task])
        assert {clips_of(row)[-1] for row in rows[task]} == {clip.clip_id for clip in ten}


def test_the_answer_alone_carries_loss(ten: list[Annotated]) -> None:
    for row in built(ten)["voice_conversion"]:
        assert [segment.loss for segment in row.segments] == [False] * (len(row.segments) - 2) + [True] * 2


def test_voices_are_made_of_one_speaker(ten: list[Annotated]) -> None:
    speakers = {clip.clip_id: clip.speaker for clip in ten}
    for row in built(ten)["voice_conversion"]:
        assert len({speakers[clip] for clip in clips_of(row)[1::2]}) == 1
        ratio = json.loads(row.recipes[0].parameters)["ratio"]
        assert 1.15 <= max(ratio, 1 / ratio) < 1.43


def test_two_speakers_of_the_same_sentences_are_converted_as_they_were_recorded() -> None:
    clips = [
        a_clip(f"{speaker}{number}", speaker, given_text=words)
        for speaker in ("ann", "bob")
        for number, words in enumerate(["Hello!", "Good-bye.", f"only {speaker}"])
    ]
    found = [outcome for outcome in recorded_conversions(clips, Context(job=ALL)) if isinstance(outcome, Built)]
    rows = {clips_of(one.instruction)[-1]: one.instruction for one in found}
    assert rows.keys() == {"ann0", "ann1", "bob0", "bob1"}, "what only one of them says is no pair"
    for target, source, pair in (("bob0", "ann0", ["ann1", "bob1"]), ("ann1", "bob1", ["bob0", "ann0"])):
        assert clips_of(rows[target]) == [*pair, source, target]
        assert rows[target].recipes == []


def test_a_copy_of_the_answer_is_no_pair() -> None:
    clips = [a_clip(name, duplicate_cluster="same" if name in "ab" else None) for name in "abc"]
    for rows in built(clips).values():
        for row in rows:
            *shown, answer = clips_of(row)
            assert answer == "c" or not {"a", "b"} & set(shown)


def test_what_has_no_partner_or_is_no_target_is_not_built() -> None:
    outcomes = outcomes_of([a_clip("a"), a_clip("bad", mos=1.0)], replace(ALL, min_mos=2.0))
    assert [(outcome.anchor, outcome.reason) for outcome in outcomes if isinstance(outcome, NotBuilt)] == [
        ("a", "no_partner")
    ] * 2
    assert len(outcomes) == 2


def test_as_many_pairs_as_fit_are_shown() -> None:
    clips = [a_clip(f"s{index}", num_samples=10 * RATE) for index in range(10)]
    job = AnnotatedToInstructions(few_shot_share=1.0, max_sentence_positions=900)
    rows = built(clips, job)["speech_enhancement"]
    lengths = {clip.clip_id: samples_of(clip) for clip in clips}
    assert {len(clips_of(row)) // 2 - 1 for row in rows} == {1}
    assert all(positions_of(row, lengths) <= 900 for row in rows)


def test_a_share_of_the_clips_are_questions(ten: list[Annotated]) -> None:
    many = [a_clip(f"m{index}") for index in range(400)]
    rows = built(many, AnnotatedToInstructions(few_shot_share=0.1))
    assert all(20 <= len(found) <= 60 for found in rows.values())
    assert not any(built(ten, AnnotatedToInstructions(few_shot_share=0.0)).values())


def test_they_are_trained_on_in_stage_4_alone(ten: list[Annotated]) -> None:
    (group,) = {row.mixture for rows in built(ten).values() for row in rows}
    drawn = {name for name, stage in STAGES.items() if stage("debug").mixture[0].weight_of(group) > 0}
    assert drawn == {"stage4"}
