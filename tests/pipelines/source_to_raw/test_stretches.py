"""Utterances of recordings: each is a clip of its own, cut to the sample."""

import io
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from uniaudio_schemas.kinds.raw import GivenWord

RATE = 8_000


def wav(samples: np.ndarray) -> bytes:
    """`[C, N]` int16 -> the bytes of a WAV."""
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def say(source: Any, path: str, *labels: dict[str, Any]) -> None:
    source.text(path, *(json.dumps(label) for label in labels))


def test_each_stretch_is_a_clip_with_its_samples_even_where_stretches_overlap(source: Any) -> None:
    source.wav("talks/a.wav", seconds=2.0)
    say(
        source,
        "talks/metadata.jsonl",
        {"path": "a.wav", "start_s": 0.25, "end_s": 1.0, "given_text": "one", "speaker": "ann"},
        {"path": "a.wav", "start_s": 0.75, "end_s": 1.5, "given_text": "two", "speaker": "bob"},
        {"path": "a.wav", "start_s": 1.5, "given_text": "three"},
    )
    made = source.ingest()
    whole = source.made["talks/a.wav"]
    assert [(row.given_text, row.speaker, row.first_sample, row.num_samples) for row in made.rows] == [
        ("one", "ann", 2_000, 6_000), ("two", "bob", 6_000, 6_000), ("three", None, 12_000, 4_000)
    ]  # fmt: skip
    for row in made.rows:
        np.testing.assert_array_equal(
            made.samples(row), whole[:, row.first_sample : row.first_sample + row.num_samples]
        )
    assert len({row.clip_id for row in made.rows}) == 3
    assert {row.clip_id[:16] for row in made.rows} == {made.rows[0].sha256[:16]}
    assert {row.recording for row in made.rows} == {"talks/a.wav"}, "utterances of one file stay in one split"


def test_a_stretch_that_ends_behind_the_file_is_cut_there_and_one_that_begins_there_is_dropped(source: Any) -> None:
    source.wav("talks/a.wav", seconds=1.0)
    say(
        source,
        "talks/metadata.jsonl",
        {"path": "a.wav", "start_s": 0.5, "end_s": 1.5},
        {"path": "a.wav", "start_s": 2.0, "end_s": 3.0, "utterance": "late"},
        {"path": "a.wav", "start_s": 0.1, "end_s": 0.11},
    )
    made = source.ingest()
    assert (made.row.first_sample, made.row.num_samples) == (4_000, 4_000)
    assert made.row.problems == ["ends_beyond_file: 1.500 of 1.000 s"]
    assert made.reasons() == {"talks/a.wav#late": "outside_file", "talks/a.wav#0.100-0.110": "too_short"}


def test_stretches_with_the_same_samples_are_one_clip(source: Any) -> None:
    source.wav("talks/a.wav", seconds=1.0)
    say(source, "talks/metadata.jsonl", *({"path": "a.wav", "start_s": 0.5, "end_s": end_s} for end_s in (1.5, 2.5)))
    made = source.ingest()
    assert made.row.num_samples == 4_000 and list(made.reasons().values()) == ["duplicate"]


def test_a_level_that_fits_no_scale_is_dropped_and_one_of_integers_is_scaled(source: Any) -> None:
    soundfile = pytest.importorskip("soundfile")
    noise = np.random.default_rng(0).uniform(-1, 1, 4_000).astype(np.float32)
    (source.root / "x").mkdir()
    soundfile.write(source.root / "x/as_int16.wav", np.rint(noise * 32_767), 8_000, subtype="FLOAT")
    soundfile.write(source.root / "x/mad.wav", noise * 99.5, 8_000, subtype="FLOAT")
    stereo = np.stack([noise, -noise], axis=1) * 0.5
    soundfile.write(source.root / "x/out_of_phase.wav", stereo, 8_000, subtype="PCM_16")
    made = source.ingest()
    loud, phase = made.rows
    assert (loud.gain, phase.gain) == (1 / 32_768, None)
    np.testing.assert_array_equal(made.samples(loud)[0], np.rint(noise * 32_767))
    assert (phase.mono_channel, loud.mono_channel) == (0, None)
    assert phase.problems[0].startswith("channels_cancel: ")
    assert made.reasons() == {"x/mad.wav": "beyond_full_scale"}


def test_a_clip_has_a_hash_of_its_samples_and_the_landmarks_of_what_is_heard(source: Any) -> None:
    soundfile = pytest.importorskip("soundfile")
    time = np.arange(3 * RATE) / RATE
    tones = sum(
        np.sin(2 * np.pi * hertz * time) * (np.sin(2 * np.pi * rate * time) > 0)
        for hertz, rate in ((400, 3), (900, 5), (1700, 7))
    )
    samples = np.rint(tones * 8_000).astype(np.int16)
    source.bytes("a/x.wav", wav(samples[None]))
    source.bytes("b/inverted.wav", wav(np.stack([samples, -samples])))
    (source.root / "c").mkdir()
    soundfile.write(source.root / "c/x.flac", samples, RATE)
    first, inverted, flac = source.ingest().rows
    assert first.audio_sha256 == flac.audio_sha256 != inverted.audio_sha256
    assert len(first.landmarks) > 20
    np.testing.assert_array_equal(first.landmarks, flac.landmarks)
    np.testing.assert_array_equal(first.landmarks, inverted.landmarks)


def test_what_is_said_of_the_recording_holds_for_its_stretches_but_not_its_text(source: Any) -> None:
    source.wav("talks/a.wav", seconds=1.0)
    say(
        source,
        "talks/metadata.jsonl",
        {"path": "a.wav", "licence": "CC0-1.0", "language": "de", "speaker": "ann", "given_text": "all of it"},
        {"path": "a.wav", "start_s": 0.0, "end_s": 0.4, "given_text": "part"},
        {"path": "a.wav", "start_s": 0.5, "end_s": 0.9, "speaker": "bob"},
    )
    first, second = source.ingest().rows
    assert (first.licence, first.language, first.speaker, first.given_text) == ("CC0-1.0", "de", "ann", "part")
    assert (second.licence, second.speaker, second.given_text, second.problems) == ("CC0-1.0", "bob", None, [])


def test_a_stretch_over_the_whole_file_is_the_file(source: Any) -> None:
    source.wav("talks/a.wav", seconds=1.0)
    source.text("talks/manifest.jsonl", '{"audio_filepath": "a.wav", "offset": 0, "duration": 0.97, "text": "hi"}')
    row = source.ingest().row
    assert (row.clip_id, row.num_samples, row.given_text, row.recording) == (row.sha256[:32], 8_000, "hi", None)


def test_times_of_words_count_from_the_clips_beginning(source: Any) -> None:
    source.wav("talks/a.wav", seconds=2.0)
    tiers = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2\n<exists>\n2\n"IntervalTier"\n"ann"\n0\n2\n2\n'
        '0\n1\n""\n1\n2\n"good day"\n"IntervalTier"\n"ann - words"\n0\n2\n3\n0\n1\n""\n1\n1.5\n"good"\n1.5\n2\n"day"\n'
    )
    source.bytes("talks/a.TextGrid", tiers.encode("utf-16"))
    row = source.ingest().row
    assert (row.first_sample, row.num_samples, row.given_text) == (8_000, 8_000, "good day")
    assert row.given_words == [
        GivenWord(word="good", first_sample=0, num_samples=4_000),
        GivenWord(word="day", first_sample=4_000, num_samples=4_000),
    ]


def test_impossible_times_are_dropped_and_named(source: Any) -> None:
    source.wav("talks/a.wav")
    source.text(
        "talks/list.csv",
        "file,start,end,text",
        "a.wav,0.3,0.1,backwards",
        "a.wav,nan,1,no number",
        "a.wav,1e300,1e301,never",
        "a.wav,0.1,0.3,good",
    )
    made = source.ingest()
    assert made.row.given_text == "good"
    assert sorted(row["reason"] for row in made.dropped) == ["bad_line", "bad_times", "bad_times"]


def test_memory_does_not_grow_with_the_length_of_a_recording(source: Any) -> None:
    source.wav("warm/up.wav", seconds=1.0)
    source.ingest()
    source.wav("talks/long.wav", seconds=600.0)
    source.text("talks/long.srt", *(f"{n}\n00:0{n}:00,000 --> 00:0{n}:59,000\nminute {n}\n" for n in range(1, 9)))
    tracemalloc.start()
    try:
        assert len(source.ingest().rows) == 9
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 600 s are 19 MB as float32; one block of a million samples has 4 MB.
    assert peak < 90e6
