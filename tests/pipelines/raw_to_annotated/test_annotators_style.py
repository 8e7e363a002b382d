"""Sentences about a voice say what was measured or given, all of it, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniaudio_pipelines.raw_to_annotated.annotators import heard, wording
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip
from uniaudio_pipelines.raw_to_annotated.annotators.chat_caption import says_the_same
from uniaudio_pipelines.raw_to_annotated.annotators.heard import Heard
from uniaudio_pipelines.raw_to_annotated.annotators.style import Style
from uniaudio_pipelines.raw_to_annotated.annotators.wording import style_sentence
from uniaudio_schemas.kinds.cuts import Cut
from uniaudio_schemas.kinds.raw import Fact

from tests.pipelines.raw_to_annotated.clips import a_raw
from uniaudio.text import voice_words

RATE = 8_000


def style(
    clip_id: str = "c", seconds: float = 5.0, facts: dict[str, str] | None = None, first_sample: int = 0, **known: Any
) -> tuple[str, list[str]]:
    raw = a_raw(
        clip_id=clip_id, sample_rate=RATE, facts=[Fact(name=name, value=value) for name, value in (facts or {}).items()]
    )
    samples = np.zeros((1, round(seconds * RATE)), np.float32)
    clip = Clip(raw=raw, domain="speech", samples=samples, known=known, first_sample=first_sample)
    found = {value.column: value.value for value in Style(Path(), "cpu").annotate(clip)}
    return found.get("style", ""), found.get("evidence", [])


def test_a_sentence_says_what_was_measured_and_given_and_the_evidence_is_all_of_it() -> None:
    sentence, evidence = style(
        facts={"gender": "F", "accent": "Irish", "age": "thirties", "emotion": "anger", "event": "rain"},
        pitch_hz=300.0,
        syllables_per_s=5.5,
        pitch_range_semitones=20.0,
        level_dbfs=-20.0,
        num_pauses=3,
        pause_fraction=0.1,
        snr_db=5.0,
        mos=3.0,
    )
    for words in ("with an Irish accent", "in her thirties", "sounding angry"):
        assert words in sentence
    assert any(word in sentence for word in ("woman", "female"))
    assert any(
        word in sentence for word in voice_words.PITCH["high"] + tuple(map(str.capitalize, voice_words.PITCH["high"]))
    )
    assert "rain" not in sentence
    assert evidence == [
        "facts.gender=F",
        "facts.age=thirties",
        "facts.accent=Irish",
        "facts.emotion=anger",
        "pitch_hz=300.0",
        "syllables_per_s=5.5",
        "pitch_range_semitones=20.0",
        "num_pauses=3",
        "snr_db=5.0",
    ]


@pytest.mark.parametrize(
    ("gender", "pitch_hz", "expected"),
    [
        ("male", 150.0, "high"),
        ("female", 150.0, "low"),
        (None, 150.0, "medium"),
        ("male", 120.0, "medium"),
        ("female", 210.0, "medium"),
        ("male", 95.0, "low"),
        ("female", 250.0, "high"),
    ],
)
def test_a_pitch_is_low_or_high_for_who_speaks(gender: str | None, pitch_hz: float, expected: str) -> None:
    facts = [Fact(name="gender", value=gender)] if gender else []
    assert heard.hear({"pitch_hz": pitch_hz}, facts, 3.0).pitch == expected


@pytest.mark.parametrize(
    ("known", "seconds", "expected"),
    [
        ({"num_pauses": 0, "pause_fraction": 0.0}, 5.0, "none"),
        ({"num_pauses": 0, "pause_fraction": 0.0}, 2.0, None),
        ({"num_pauses": 1, "pause_fraction": 0.1}, 5.0, None),
        ({"num_pauses": 2, "pause_fraction": 0.1}, 5.0, "some"),
        ({"num_pauses": 1, "pause_fraction": 0.4}, 5.0, "long"),
        ({}, 5.0, None),
    ],
)
def test_pauses_are_told_where_they_are_many_long_or_missing(
    known: dict[str, Any], seconds: float, expected: str | None
) -> None:
    assert heard.hear(known, [], seconds).pauses == expected


@pytest.mark.parametrize(
    ("snr_db", "mos", "expected"),
    [(5.0, 3.5, "noisy"), (20.0, 1.5, "poor"), (40.0, 3.5, "clean"), (40.0, 2.5, None), (40.0, None, None)],
)
def test_a_recording_is_clean_only_where_both_measures_say_so(
    snr_db: float, mos: float | None, expected: str | None
) -> None:
    known = {"snr_db": snr_db} | ({} if mos is None else {"mos": mos})
    assert heard.hear(known, [], 3.0).sound == expected


def test_a_middling_level_and_intonation_are_no_evidence() -> None:
    found = heard.hear({"level_dbfs": -20.0, "pitch_range_semitones": 10.0}, [], 3.0)
    assert (found.level, found.intonation, found.evidence) == (None, None, [])


def test_a_clip_has_one_wording_and_many_clips_have_many() -> None:
    sentences = [style(clip_id=str(number), pitch_hz=150.0, syllables_per_s=4.0)[0] for number in range(60)]
    again = [style(clip_id=str(number), pitch_hz=150.0, syllables_per_s=4.0)[0] for number in range(60)]
    assert sentences == again
    assert len(set(sentences)) > 20
    cuts = {style(first_sample=first, pitch_hz=150.0, syllables_per_s=4.0)[0] for first in range(20)}
    assert len(cuts) > 5


_WORDS = {
    name: st.sampled_from([None, *sorted(word for word in table if word)])
    for name, table in {
        "gender": voice_words.SUBJECT,
        "pitch": voice_words.PITCH,
        "rate": voice_words.RATE,
        "intonation": wording._INTONATION,
        "pauses": wording._PAUSES,
        "level": wording._LEVEL,
        "sound": wording._SOUND,
    }.items()
}


@given(words=st.fixed_dictionaries(_WORDS), key=st.text(max_size=3))
def test_a_sentence_holds_a_wording_of_every_word_and_of_no_other(words: dict[str, Any], key: str) -> None:
    """Removing what each word may add leaves the subject, the verb and the joints."""
    sentence = style_sentence(Heard(**words), key, "en").lower()
    rest = sentence
    tables = (voice_words.PITCH, voice_words.RATE, wording._INTONATION, wording._PAUSES, wording._LEVEL, wording._SOUND)
    for table, name in zip(tables, ("pitch", "rate", "intonation", "pauses", "level", "sound"), strict=True):
        found = [text for text in table[words[name]] if text in rest] if words[name] else []
        assert bool(found) == bool(words[name])
        if found:
            rest = rest.replace(max(found, key=len), "", 1)
    for text in (*voice_words.SUBJECT[words["gender"]], *wording._VERB):
        rest = rest.replace(text, "", 1)
    assert set(rest) <= set(" ,.and")


@given(words=st.fixed_dictionaries(_WORDS), key=st.text(max_size=3))
def test_chinese_speech_is_described_in_chinese_alone(words: dict[str, Any], key: str) -> None:
    sentence = style_sentence(Heard(**words), key, "zh")
    assert sentence.endswith("。")
    assert not any(letter.isascii() for letter in sentence)


def test_both_languages_have_wordings_of_the_same_words() -> None:
    for tables in (voice_words.SUBJECTS, voice_words.PITCHES, voice_words.RATES):
        assert len({frozenset(table) for table in tables}) == 1
    for name in ("INTONATION", "PAUSES", "LEVEL", "SOUND"):
        assert set(getattr(wording, f"_{name}")) == set(getattr(wording, f"_{name}_ZH"))


def test_without_a_measure_or_an_emotion_there_is_no_sentence() -> None:
    assert style(facts={"gender": "male"}) == ("", [])
    assert style(snr_db=3.0) == ("", [])


def test_facts_that_contradict_each_other_or_say_nothing_are_not_told() -> None:
    both = [Fact(name="gender", value="male"), Fact(name="gender", value="female")]
    assert heard.hear({}, both, 3.0) == Heard()
    assert heard.hear({}, [Fact(name="accent", value="Unknown"), Fact(name="age", value="x" * 80)], 3.0) == Heard()


def test_a_fact_cannot_end_the_sentence_or_break_the_line() -> None:
    sentence, _ = style(pitch_hz=100.0, facts={"accent": "south of\nFrance."})
    assert sentence.count(".") == 1
    assert "\n" not in sentence


def test_it_reads_and_writes_columns_of_a_cut() -> None:
    assert set(Cut.__dataclass_fields__) >= Style.reads | Style.writes


@pytest.mark.parametrize(
    ("reworded", "is_same"),
    [
        ("In E minor, at about 140 bpm, this track is fast and has guitar.", True),
        ("A fast piece in E minor at about 104 bpm with guitar.", False),
        ("A fast piece in E minor with guitar.", False),
        ("A fast, joyful piece in E minor at about 140 bpm with guitar.", False),
        ("A fast piece in E major at about 140 bpm with guitar.", False),
        ("", False),
    ],
)
def test_a_rewording_counts_only_with_every_word_of_content_and_no_other(reworded: str, is_same: bool) -> None:
    assert says_the_same("A fast piece of music in E minor at about 140 bpm with guitar.", reworded) == is_same
