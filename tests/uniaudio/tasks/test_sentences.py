"""Auditory sentences: related segments, no clip twice, never too long."""

import json

from hypothesis import given
from hypothesis import strategies as st
from uniaudio_schemas.kinds.annotated import Annotated

from uniaudio.audio.frames import UNIT
from uniaudio.tasks import sentences
from uniaudio.tasks.recipes import audio_positions, make_recipe, positions_of, samples_of, share_of

RATE = 24_000


def a_clip(name: str, num_samples: int = RATE, **more: object) -> Annotated:
    common = {"raw_clip_id": "raw", "corpus": "c", "path": name, "domain": "speech", "licence": "x", "split": "train"}
    return Annotated(clip_id=name, num_samples=num_samples, sample_rate=RATE, channels=1, **{**common, **more})


def clips_of(lengths: list[int]) -> list[Annotated]:
    return [a_clip(f"{index:02}", length) for index, length in enumerate(lengths)]


@given(st.lists(st.integers(1, 20 * RATE), max_size=30), st.integers(40, 600))
def test_consecutive_cuts_keep_their_order_and_stay_below_the_limit(lengths: list[int], limit: int) -> None:
    clips = clips_of(lengths)
    samples = {clip.clip_id: samples_of(clip) for clip in clips}
    used: list[str] = []
    for row in sentences.consecutive(clips, limit):
        assert 2 <= len(row.clip_ids) <= 8
        assert positions_of(row, samples) <= limit
        assert all(segment.loss for segment in row.segments)
        first = int(row.clip_ids[0])
        assert row.clip_ids == [f"{first + index:02}" for index in range(len(row.clip_ids))], "neighbours only"
        used += row.clip_ids
    assert len(set(used)) == len(used)


@given(st.integers(1, 30 * RATE), st.integers(2, 4))
def test_pieces_of_a_recording_are_all_of_it(num_samples: int, count: int) -> None:
    clip = a_clip("long", num_samples)
    row = sentences.consecutive_pieces(clip, count, 1536)
    if row is None:
        assert num_samples < count * (sentences.MIN_PIECE + UNIT)
        return
    cuts = sorted((json.loads(recipe.parameters) for recipe in row.recipes), key=lambda cut: cut["first_sample"])
    assert [cut["first_sample"] for cut in cuts] == [index * cuts[0]["num_samples"] for index in range(count)]
    assert sum(cut["num_samples"] for cut in cuts) == num_samples
    assert all(cut["num_samples"] % UNIT == 0 for cut in cuts[:-1])
    assert row.clip_ids[-1] == "long"
    order = [segment.clip_id for segment in row.segments if segment.kind == "reasoning"]
    by_id = {recipe.clip_id: json.loads(recipe.parameters)["first_sample"] for recipe in row.recipes}
    assert [by_id[clip_id] for clip_id in order] == sorted(by_id.values())


def test_speech_and_its_text_take_turns() -> None:
    clips = clips_of([RATE] * 5)
    rows = list(sentences.transcribed(clips, lambda clip: f"words {clip.clip_id}", 1536))
    assert [len(row.clip_ids) for row in rows] == [4]
    assert [segment.kind for segment in rows[0].segments[:3]] == ["reasoning", "reconstruction", "text"]
    assert [segment.text for segment in rows[0].segments[2::3]] == [f"words {clip.clip_id}" for clip in clips[:4]]


def test_a_mixture_comes_before_its_sources_and_is_left_out_when_too_long() -> None:
    sources = clips_of([RATE, RATE])
    recipe = make_recipe("mix", sources, {"snr_db": 0.0})
    row = sentences.mixture(recipe, sources, 1536)
    assert row is not None
    assert [segment.clip_id for segment in row.segments[::2]] == [recipe.clip_id, "00", "01"]
    assert sentences.mixture(recipe, sources, 3 * audio_positions(RATE) - 1) is None


def test_captions_follow_their_sound() -> None:
    clips = [a_clip(name, caption=f"a {name}", domain="sound") for name in ("bell", "dog")]
    (row,) = sentences.captioned(clips, 1536)
    assert [segment.text for segment in row.segments if segment.kind == "text"] == ["a bell", "a dog"]
    assert {segment.wrapper for segment in row.segments if segment.kind == "text"} == {"caption"}


def test_the_same_words_are_said_once_and_heard_by_every_voice() -> None:
    (row,) = sentences.same_words(clips_of([RATE] * 3), "hello", 1536)
    assert [segment.kind for segment in row.segments].count("text") == 1
    assert row.clip_ids == ["00", "01", "02"]


def test_all_sentences_are_one_mixture_group() -> None:
    assert {task.mixture for task in sentences.SENTENCE_TASKS} == {"auditory_sentences"}


def test_equal_recipes_are_one_clip() -> None:
    clips = clips_of([RATE, RATE])
    first, same = (make_recipe("mix", clips, {"snr_db": 1.0, "length": "first"}) for _ in range(2))
    other = make_recipe("mix", clips[::-1], {"snr_db": 1.0, "length": "first"})
    assert first == same
    assert first.clip_id != other.clip_id


def test_a_choice_by_hash_takes_about_its_share() -> None:
    taken = sum(share_of("x", index) < 0.25 for index in range(2000))
    assert 420 < taken < 580
