"""Captions of sound and music: words of the source first, measures where there are some, and nothing that nobody said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip
from uniaudio_pipelines.raw_to_annotated.annotators.caption import SourceCaption
from uniaudio_pipelines.raw_to_annotated.annotators.measured_caption import CaptionByMeasures

from tests.pipelines.raw_to_annotated.clips import a_raw

RATE = 1_000


def clip(
    domain: str, seconds: float = 5.0, whole: bool = True, known: dict[str, Any] | None = None, **raw: Any
) -> Clip:
    samples = np.zeros((1, round(seconds * RATE)), np.float32)
    num_samples = samples.shape[1] if whole else 2 * samples.shape[1]
    described = a_raw(
        domain, **{"path": "a/x.wav", "sample_rate": RATE, "num_samples": num_samples, "channels": 1, **raw}
    )
    return Clip(raw=described, domain=domain, samples=samples, known=known or {})


def source(one: Clip) -> dict[str, Any]:
    return {value.column: (value.value, value.confidence) for value in SourceCaption(Path(), "cpu").annotate(one)}


def measured(one: Clip) -> tuple[str, list[str]]:
    found = {value.column: value.value for value in CaptionByMeasures(Path(), "cpu").annotate(one)}
    return found.get("caption", ""), found.get("evidence", [])


def test_what_people_said_comes_before_title_and_tags_and_is_kept_whole() -> None:
    said = ["A dog  barks.", "An animal\nmakes noise.", "A dog barks.", " "]
    found = source(clip("sound", given_title="dog_12", given_tags=["dog", "dog "], given_captions=said))
    assert found["caption"] == ("A dog barks.", 1.0)
    assert found["captions"] == (["A dog barks.", "An animal makes noise."], 1.0)
    assert found["tags"] == (["dog"], 1.0)


def test_title_and_tags_are_a_caption_where_nobody_said_more() -> None:
    found = source(clip("sound", given_title="Dog in a yard", given_tags=["dog", "outdoors"]))
    assert found["caption"] == ("Dog in a yard: outdoors", 1.0)
    assert "captions" not in found


def test_a_caption_of_a_recording_is_not_one_of_each_of_its_sounds_but_half_one_of_its_music() -> None:
    assert "caption" not in source(clip("sound", whole=False, given_captions=["A dog, then a car."]))
    assert source(clip("music", whole=False, given_captions=["A slow waltz."]))["caption"] == ("A slow waltz.", 0.5)


def test_speech_has_no_caption_of_its_title() -> None:
    assert source(clip("speech", given_title="Chapter 1", given_tags=["audiobook"])) == {"tags": (["audiobook"], 1.0)}


def test_what_is_sung_are_lyrics_of_a_whole_song_and_of_nothing_else() -> None:
    assert source(clip("music", given_text=" Ring the bell \n"))["lyrics"] == ("Ring the bell", 1.0)
    assert "lyrics" not in source(clip("music", given_text="  "))
    assert "lyrics" not in source(clip("music", whole=False, given_text="Ring the bell"))
    assert "lyrics" not in source(clip("speech", given_text="Ring the bell"))


def test_music_is_told_with_all_that_was_measured() -> None:
    known = {
        "tempo_bpm": 139.7,
        "key": "E minor",
        "instruments": ["guitar", "drums"],
        "tags": ["calm", "guitar", "rock"],
    }
    sentence, evidence = measured(clip("music", known=known, given_title="Harbour", given_tags=["calm"], part="bass"))
    for words in ("fast", "in E minor", "at about 140 bpm", "with guitar and drums", " calm and rock", "“Harbour”"):
        assert words in sentence
    assert sentence.startswith("The bass part of a fast")
    assert evidence == [
        "given_title=Harbour",
        "part=bass",
        "tempo_bpm=139.7",
        "key=E minor",
        "instruments=guitar",
        "instruments=drums",
        "given_tags=calm",
        "tags=rock",
    ]


@pytest.mark.parametrize(("tempo", "pace"), [(60.0, "slow"), (100.0, "moderately fast"), (120.0, "fast"), (None, "")])
def test_a_pace_is_told_only_where_a_tempo_was_measured(tempo: float | None, pace: str) -> None:
    known = {"key": "C major"} | ({} if tempo is None else {"tempo_bpm": tempo})
    sentence, _ = measured(clip("music", known=known))
    assert sentence.startswith(f"A {pace} " if pace else ("A piece", "A track"))


def test_music_of_which_nothing_was_measured_keeps_the_caption_of_its_source() -> None:
    assert measured(clip("music", given_title="Harbour", given_tags=["calm"], known={"tags": ["calm"]})) == ("", [])


def test_a_sound_needs_a_name_and_its_length_is_told_of_a_whole_clip_alone() -> None:
    sentence, evidence = measured(clip("sound", 0.5, given_title="Sawmill", known={"loudness_lufs": -9.0}))
    assert sentence.startswith("A short, loud ")
    assert sentence.endswith(": Sawmill.")
    assert evidence == ["given_title=Sawmill", "num_samples=500", "sample_rate=1000", "loudness_lufs=-9.0"]
    assert measured(clip("sound", 0.5, known={"loudness_lufs": -9.0})) == ("", [])
    part, _ = measured(clip("sound", 0.5, whole=False, given_title="Sawmill", known={"loudness_lufs": -20.0}))
    assert part.startswith(("A sound", "A recording"))


def test_captions_of_people_are_left_alone() -> None:
    one = clip("music", known={"tempo_bpm": 100.0}, given_captions=["A waltz."])
    assert measured(one) == ("", [])


def test_a_chinese_title_is_told_in_chinese() -> None:
    known = {"tempo_bpm": 60.0, "key": "C# minor", "instruments": ["guitar"]}
    sentence, _ = measured(clip("music", known=known, given_title="茉莉花"))
    assert sentence.startswith("一段慢速的")
    assert "升C小调，每分钟约60拍，有吉他，名为《茉莉花》。" in sentence
    assert measured(clip("sound", 0.5, given_title="雨声"))[0] == "一段短促的声音：雨声。"


def test_wordings_differ_between_clips_and_not_between_runs() -> None:
    def told(number: int) -> str:
        return measured(clip("music", clip_id=str(number), known={"tempo_bpm": 90.0, "key": "C major"}))[0]

    assert [told(number) for number in range(20)] == [told(number) for number in range(20)]
    assert len({told(number) for number in range(20)}) > 4
