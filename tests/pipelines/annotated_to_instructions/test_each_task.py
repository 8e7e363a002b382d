"""The examples of each task are right: what is asked is so, what is answered is true, what is taken from elsewhere is of the right clip."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from uniaudio_pipelines.annotated_to_instructions import classes, dialogues, edits, groups, questions, voices
from uniaudio_pipelines.annotated_to_instructions.context import Background, Context
from uniaudio_pipelines.annotated_to_instructions.examples import Built, NotBuilt
from uniaudio_pipelines.annotated_to_instructions.routes import hash64
from uniaudio_pipelines.annotated_to_instructions.single import of_one_clip
from uniaudio_schemas.kinds.annotated import Annotated, Fact
from uniaudio_schemas.kinds.instructions import Instruction

from tests.pipelines.annotated_to_instructions.corpus import ALL, RATE, a_clip, words_of

CONTEXT = Context(job=ALL)


def built(builder: Callable[..., Any], clips: Sequence[Annotated], context: Context = CONTEXT) -> list[Instruction]:
    return [outcome.instruction for outcome in builder(clips, context) if isinstance(outcome, Built)]


def alone(clip: Annotated, context: Context = CONTEXT) -> dict[str, Instruction]:
    return {
        outcome.instruction.task: outcome.instruction
        for outcome in of_one_clip(clip, context)
        if isinstance(outcome, Built)
    }


def text_of(row: Instruction, place: int = -1) -> str:
    return [segment.text for segment in row.segments if segment.kind == "text"][place]


def clips_of(row: Instruction) -> list[str]:
    return [segment.clip_id for segment in row.segments if segment.kind == "reconstruction"]


def spoken(name: str, text: str, **more: Any) -> Annotated:
    return a_clip(name, "speech", speaker="ann", given_text=text, given_words=words_of(text), **more)


def with_words(clips: Sequence[Annotated]) -> Context:
    times = {clip.clip_id: (clip.words, clip.given_words) for clip in clips}
    return Context(job=ALL, words=lambda ids: {clip: times[clip] for clip in ids})


def test_dysarthric_and_cantonese_speech_have_tasks_of_their_own() -> None:
    impaired = alone(a_clip("a", "speech", given_text="hello", facts=[Fact(name="Etiology", value="Parkinson")]))
    assert "dysarthric_asr" in impaired and not {"asr", "tts"} & set(impaired)
    healthy = alone(a_clip("a", "speech", given_text="hello", facts=[Fact(name="dysarthria", value="control")]))
    assert {"asr", "tts"} <= set(healthy) and "dysarthric_asr" not in healthy
    cantonese = alone(a_clip("a", "speech", given_text="你好", language="yue"))
    assert {"cantonese_asr", "cantonese_tts"} <= set(cantonese) and not {"asr", "tts"} & set(cantonese)


def test_speech_with_a_style_is_asked_for_in_that_style() -> None:
    row = alone(a_clip("a", "speech", given_text="hello", style="A low voice."))["instruct_tts"]
    assert [text_of(row, place) for place in (0, 1)] == ["A low voice.", "hello"]


def test_each_caption_of_a_clip_is_an_example_and_none_is_one_twice() -> None:
    clip = a_clip("a", "sound", caption="a bell", captions=["a bell", "a bell rings", " "])
    rows = built(lambda clips, context: of_one_clip(clips[0], context), [clip])
    assert sorted(text_of(row) for row in rows if row.task == "audio_caption") == ["a bell", "a bell rings"]


def test_an_edit_changes_the_words_that_it_names() -> None:
    clips = [spoken(f"e{number}", f"we {middle} the {last} now") for number, (middle, last) in enumerate(
        [("saw", "dog"), ("heard", "bell"), ("left", "house"), ("took", "road"), ("read", "book"), ("held", "rope"), ("found", "key"), ("lost", "hat")]
    )]  # fmt: skip
    rows = built(edits.edited, clips, with_words(clips))
    by_id = {clip.clip_id: clip for clip in clips}
    kinds = set()
    for row in rows:
        (recipe,) = row.recipes
        source, target = clips_of(row)
        original = by_id[source if source in by_id else target]
        stretch = json.loads(recipe.parameters)
        word = next(one.word for one in original.given_words if one.first_sample == stretch["first_sample"])
        assert word in text_of(row), "the request names the word that is cut"
        assert stretch["num_samples"] == 9_600
        if recipe.operation == "splice":
            donor = by_id[recipe.parents[1]]
            other = next(one.word for one in donor.given_words if one.first_sample == stretch["from_sample"])
            assert other in text_of(row) and other not in original.given_text.split()  # type: ignore[union-attr]
        kinds.add((recipe.operation, target == original.clip_id))
    assert kinds == {("cut_out", False), ("cut_out", True), ("splice", True)}, "deleted, put in, replaced"


@pytest.mark.parametrize(
    "clip",
    [
        spoken("a", "the the the the"),
        a_clip("a", "speech", speaker="ann", given_text="no times here"),
        a_clip("a", "speech", "val", speaker="ann", given_text="heard times only", words=words_of("heard times only")),
    ],
    ids=["no word is there once", "no times", "held out"],
)
def test_speech_whose_words_have_no_place_is_not_edited(clip: Annotated) -> None:
    (outcome,) = edits.edited([clip], with_words([clip]))
    assert isinstance(outcome, NotBuilt) and outcome.reason == "no_word_times"


def test_a_shown_voice_is_another_clip_of_the_speaker_and_at_most_three_seconds() -> None:
    clips = [
        spoken("short", "one"),
        spoken("long", "two", num_samples=10 * RATE),
        spoken("copy", "one", duplicate_cluster="x"),
    ]
    shown = set()
    for row in built(voices.in_a_shown_voice, clips):
        (sample,) = [segment.clip_id for segment in row.segments if segment.kind == "audio_prompt"]
        (target,) = clips_of(row)
        parents = {recipe.clip_id: recipe.parents[0] for recipe in row.recipes}
        assert parents.get(sample, sample) != target
        assert all(recipe.num_samples == 72_000 and recipe.parents == ["long"] for recipe in row.recipes)
        shown.add(sample)
    assert len(shown) == 3 and "long" not in shown, "of the long clip a part"


def test_a_copy_of_the_answer_is_no_sample_of_its_voice() -> None:
    clips = [spoken(name, name, duplicate_cluster="x") for name in "ab"]
    outcomes = list(voices.in_a_shown_voice(clips, CONTEXT))
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, NotBuilt)} == {"no_voice_sample"}
    assert len(outcomes) == 2


def test_speech_over_a_sound_says_what_is_heard_behind_it() -> None:
    bell = Background(a_clip("bell", "sound", caption="A bell rings."), hash64("bell"))
    context = Context(job=ALL, backgrounds=lambda split: [bell] if split == "train" else [])
    (row,) = built(voices.over_sounds, [spoken("a", "hello")], context)
    assert text_of(row) == "hello [A bell rings]"
    assert row.recipes[0].parents == ["a", "bell"]
    assert built(voices.over_sounds, [spoken("a", "hello", split="val")], context) == []
    (natural,) = built(voices.over_sounds, [spoken("a", "hello", caption="rain falls")])
    assert text_of(natural) == "hello [rain falls]" and natural.recipes == []


def test_half_of_the_noisy_copies_are_over_real_sounds_where_there_are_any() -> None:
    sounds = [Background(a_clip(f"n{number}", "sound"), hash64(f"n{number}")) for number in range(4)]
    context = Context(job=ALL, backgrounds=lambda split: sorted(sounds, key=lambda one: one.own))
    rows = built(voices.denoised, [spoken(f"s{number}", "x") for number in range(60)], context)
    mixed = [row for row in rows if row.recipes[0].operation == "mix"]
    assert 15 < len(mixed) < 45 and len(rows) == 60
    assert len({row.recipes[0].parents[1] for row in mixed}) > 1


def test_one_shown_clip_has_the_class_that_is_asked_for() -> None:
    clips = [a_clip(f"n{number:02}", "sound", tags=[("bell", "dog", "rain")[number % 3]]) for number in range(12)]
    rows = built(classes.sounds, clips)
    assert len(rows) == 12
    for row in rows:
        *shown, answer = [segment.text for segment in row.segments if segment.kind == "text"]
        assert shown.count(answer) == 1 and len(set(shown)) == len(shown)
        assert len(set(clips_of(row))) == len(clips_of(row))
    assert {len(clips_of(row)) for row in rows} == {2, 3, 4}


def test_a_class_that_no_other_clip_has_is_not_asked_for() -> None:
    clips = [
        a_clip("n0", "sound", tags=["bell"]),
        a_clip("n1", "sound", tags=["dog"]),
        a_clip("n2", "sound", tags=["dog"]),
    ]
    outcomes = list(classes.sounds(clips, CONTEXT))
    assert {(outcome.anchor, outcome.reason) for outcome in outcomes if isinstance(outcome, NotBuilt)} == {
        ("n0", "no_partner")
    }
    assert len(outcomes) == 3


def test_an_emotion_is_what_the_source_says() -> None:
    clips = [
        a_clip(f"s{number}", "speech", facts=[Fact(name="Emotion", value="sad" if number % 2 else "happy")])
        for number in range(6)
    ]
    for row in built(classes.emotions, clips):
        assert text_of(row) == ("sad" if int(clips_of(row)[-1][1:]) % 2 else "happy")


def test_one_answer_of_the_choices_is_true_and_no_other() -> None:
    tags = [["Bell", "Metal"], ["dog"], ["rain", "water"], ["dog", "bell"], ["hand bell"], ["siren"]]
    clips = [a_clip(f"n{number}", "sound", tags=found, caption="it is loud.") for number, found in enumerate(tags)]
    rows = built(questions.about_values, clips)
    assert {row.task for row in rows} == {"audio_understanding", "audio_understanding_with_reasoning"}
    for row in rows:
        true = {tag.casefold() for tag in tags[int(clips_of(row)[0][1:])]}
        if true == {"hand bell"}:
            true = {"hand bell", "bell"}
        question, answer = text_of(row, 0), text_of(row)
        named = {tag for tag in ("bell", "metal", "dog", "rain", "water", "siren") if tag in question}
        assert answer in true and len(named & true) == 1 and len(named) > 1


def test_what_goes_with_the_answer_elsewhere_is_no_wrong_answer() -> None:
    tags = [["bell"], ["bell", "dog"], ["siren"]]
    clips = [a_clip(f"n{number}", "sound", tags=found) for number, found in enumerate(tags)]
    asked = {clips_of(row)[0]: text_of(row, 0) for row in built(questions.about_values, clips)}
    assert "siren" in asked["n0"] and "dog" not in asked["n0"]


def test_no_question_is_asked_where_nothing_else_could_be_the_answer() -> None:
    outcomes = list(
        questions.about_values([a_clip(f"s{number}", "speech", language="en") for number in range(3)], CONTEXT)
    )
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, NotBuilt)} == {"no_distractor"}
    assert len(outcomes) == 3


def test_reasons_are_what_was_measured_and_there_are_none_without() -> None:
    clips = [a_clip(f"m{number}", "music", tempo_bpm=tempo, evidence=evidence) for number, (tempo, evidence) in enumerate(
        [(70.0, ["tempo_bpm=70"]), (160.0, [])]
    )]  # fmt: skip
    rows = [row for row in built(questions.about_values, clips) if row.task.endswith("reasoning")]
    assert [clips_of(row) for row in rows] == [["m0"]]
    thought = text_of(rows[0], 1)
    assert "tempo bpm 70" in thought and "slow" in thought


def test_sounds_in_a_row_are_counted_and_the_first_is_named() -> None:
    names = ("bell", "dog", "rain", "horn", "wind")
    clips = [a_clip(f"n{number:02}", "sound", tags=[names[number % 5]]) for number in range(20)]
    label = {clip.clip_id: clip.tags[0] for clip in clips}
    rows = [row for row in built(questions.about_scenes, clips) if row.task == "audio_understanding"]
    words = {"two": 2, "three": 3, "four": 4, "两": 2, "三": 3, "四": 4}
    counted = 0
    for row in rows:
        (recipe,) = row.recipes
        heard = [label[parent] for parent in recipe.parents]
        assert len(set(heard)) == len(heard)
        answer = text_of(row)
        if answer in words:
            assert words[answer] == len(heard)
            counted += 1
        else:
            assert answer == heard[0] and heard[1] in text_of(row, 0)
    assert counted * 2 == len(rows) == 40


def test_the_other_voice_answers_what_was_said_before_it() -> None:
    turns = [
        a_clip(f"t{number}", "speech", raw_clip_id="talk", first_sample=first, speaker=who, given_text=f"turn {number}")
        for number, (who, first) in enumerate((("ann", 0), ("bob", 2 * RATE), ("bob", 4 * RATE), ("ann", 20 * RATE)))
    ]
    rows = {row.task: row for row in built(dialogues.replies, turns)}
    assert clips_of(rows["speech_to_speech"]) == ["t0", "t1"]
    assert (clips_of(rows["speech_to_text"]), text_of(rows["speech_to_text"])) == (["t0"], "turn 1")
    assert len(built(dialogues.replies, turns)) == 2, "neither one's own next words, nor after a long pause"


def test_an_answer_that_the_source_gives_is_text() -> None:
    (row,) = built(dialogues.given_answers, [a_clip("q", "speech", facts=[Fact(name="answer", value="42")])])
    assert text_of(row) == "42"


def test_speech_of_an_unknown_voice_still_alternates_with_its_text() -> None:
    cuts = [
        a_clip(f"c{number}", "speech", raw_clip_id="talk", first_sample=2 * RATE * number, given_text=f"part {number}")
        for number in range(3)
    ]
    (row,) = [row for row in built(groups.of_recordings, cuts) if row.task == "sentence_transcribed"]
    assert row.clip_ids == ["c0", "c1", "c2"]
