"""What tasks ask of annotated clips, and of questions about them."""

from typing import Any

import pytest
from uniaudio_schemas.kinds.annotated import Annotated, Fact

from uniaudio.stages.config import OTHERS
from uniaudio.stages.table import ALL_STAGES
from uniaudio.tasks import TASKS
from uniaudio.tasks.annotations import NEEDS, class_of, is_dysarthric, is_synthetic, needs_of, voice_of, words_of
from uniaudio.tasks.edits import WORDINGS as EDITS
from uniaudio.tasks.edits import request
from uniaudio.tasks.questions import WORDINGS, attributes_of, choice_question, number_word, reasoning_of_choice


def a_clip(domain: str = "speech", **more: Any) -> Annotated:
    common = {"clip_id": "a", "raw_clip_id": "a", "path": "a", "corpus": "c", "licence": "x", "split": "train"}
    return Annotated(domain=domain, **{**common, **more})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"given_text": " hi ", "transcript": "hay"}, "hi"),
        ({"transcript": "hay"}, "hay"),
        ({"transcript": "hay", "rejections": ["repetition"]}, ""),
        ({"transcript": "hay", "split": "val"}, ""),
        ({"given_text": "hi", "rejections": ["repetition"], "split": "test"}, "hi"),
        ({"given_text": "hi", "domain": "music"}, ""),
    ],
)
def test_a_script_counts_everywhere_and_a_recognizer_in_training_where_it_was_not_rejected(
    more: dict[str, Any], words: str
) -> None:
    assert words_of(a_clip(**more)) == words


def test_facts_that_say_no_do_not_say_yes() -> None:
    for value, expected in (("kokoro", True), ("true", True), ("False", False), ("0", False), (" ", False)):
        clip = a_clip(facts=[Fact(name="Synthetic", value=value), Fact(name="dysarthria", value=value)])
        assert is_synthetic(clip) == is_dysarthric(clip) == expected


def test_a_voice_is_a_name_or_a_cluster_and_of_songs_the_recording() -> None:
    assert voice_of(a_clip(speaker="joe", speaker_cluster="17")) == "joe"
    assert voice_of(a_clip(speaker_cluster="17")) == "17"
    assert voice_of(a_clip("music", lyrics="la")) == "a"
    assert voice_of(a_clip("music", speaker="joe")) is None


def test_a_long_title_is_no_class() -> None:
    assert class_of(a_clip("sound", title="a dog that barks at the postman")) is None
    assert class_of(a_clip("sound", title="dog bark", tags=["Dog"])) == "Dog"


def test_what_a_clip_meets_is_what_its_columns_say() -> None:
    assert needs_of(a_clip(given_text="hi", num_samples=9, speaker="joe", style="low")) == {
        "audio",
        "words",
        "style",
        "voice",
        "evidence",
    }
    assert needs_of(a_clip("text", text="a")) == {"text"}


def test_every_task_says_what_it_needs_and_every_need_is_of_a_task() -> None:
    assert all(task.needs for task in TASKS.values())
    assert {need for task in TASKS.values() for need in task.needs} == set(NEEDS)


def test_every_group_that_a_stage_names_is_filled_by_a_task() -> None:
    groups = {task.mixture for task in TASKS.values()}
    for name, stage in ALL_STAGES.items():
        named = {group for phase in stage("debug").mixture for group, _ in phase.weights} - {OTHERS}
        assert named <= groups, name


@pytest.mark.parametrize("kind", WORDINGS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_question_has_three_wordings_and_names_its_choices(kind: str, language: str) -> None:
    found = {choice_question(kind, ["x1", "x2", "x3"], language, f"{number:x}") for number in range(30)}
    assert len(found) == 3
    assert kind == "count" or all(choice in question for question in found for choice in ("x1", "x2", "x3"))


@pytest.mark.parametrize("kind", EDITS)
def test_a_request_names_what_is_changed(kind: str) -> None:
    for language in ("en", "zh"):
        found = {request(kind, "green", language, f"{number:x}", beside="house") for number in range(30)}
        assert len(found) >= 3
        assert all("green" in asked and ("house" in asked) == (kind != "delete") for asked in found)


def test_numbers_are_words_as_far_as_people_count() -> None:
    assert [number_word(count, "en") for count in (2, 6, 11)] == ["two", "six", "11"]
    assert number_word(3, "yue") == "三"


def test_values_are_compared_without_case_and_long_ones_are_no_answers() -> None:
    assert attributes_of(a_clip("sound", tags=["Bell", "bell", "x" * 60]))["sound"] == {"bell"}
    assert attributes_of(a_clip(language="cs"))["language"] == {"Czech"}
    assert attributes_of(a_clip()) == {}


def test_reasons_leave_the_answer_to_the_evidence() -> None:
    clip = a_clip("music", evidence=["tempo_bpm=70.0"], caption="A slow tune.")
    text = reasoning_of_choice(clip, "tempo", ["fast", "slow"], "slow", "en")
    assert text == "A slow tune. Measured: tempo bpm 70.0. Of the choices slow fits that, and fast does not."
    assert reasoning_of_choice(a_clip("music"), "tempo", ["fast", "slow"], "slow", "en") is None
