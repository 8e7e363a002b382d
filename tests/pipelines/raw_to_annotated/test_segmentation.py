from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_pipelines.raw_to_annotated.segmentation import Hearing, LeftOut, NothingHeardError, Stretch, segment
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.testing import example_rows

RATE = 16_000
FRAMES_A_SECOND = 31.25


def recording(*parts: tuple[str, float, float], **raw: Any) -> tuple[Raw, Hearing]:
    """A recording of (`speech` or `other`, seconds, dBFS)."""
    speech = np.concatenate([np.full(round(s * FRAMES_A_SECOND), kind == "speech", np.float32) for kind, s, _ in parts])
    power = np.concatenate([np.full(round(s * FRAMES_A_SECOND), 10 ** (db / 10), np.float32) for _, s, db in parts])
    num_samples = len(speech) * 512
    (row,) = example_rows("raw")
    values = {name: getattr(row, name) for name in Raw.__dataclass_fields__}
    given = {"domain": "unknown", "given_text": None, **raw, "num_samples": num_samples, "sample_rate": RATE}
    hearing = Hearing(speech=speech, power=power, num_samples=num_samples, sample_rate=RATE, peak=0.5)
    return Raw(**{**values, **given}), hearing


def cut(*parts: tuple[str, float, float], **raw: Any) -> tuple[list[tuple[str, float, float]], dict[str, float]]:
    """(domain, first second, seconds) of each stretch, and seconds left out by reason."""
    row, hearing = recording(*parts, **raw)
    stretches, left_out = segment(row, hearing, RawToAnnotated(), row.num_samples / RATE)
    check_nothing_is_lost(row, stretches, left_out)
    rounded = [
        (one.domain, round(one.cut.first_sample / RATE, 1), round(one.cut.num_samples / RATE, 1)) for one in stretches
    ]
    return rounded, {one.reason: round(one.num_samples / RATE, 1) for one in left_out}


def check_nothing_is_lost(raw: Raw, stretches: list[Stretch], left_out: list[LeftOut]) -> None:
    used = sum(one.cut.num_samples for one in stretches) + sum(one.num_samples for one in left_out)
    assert used == raw.num_samples
    ends = [one.cut.first_sample + one.cut.num_samples for one in stretches]
    assert all(one.cut.first_sample >= end for one, end in zip(stretches[1:], ends, strict=False))


def test_a_talk_with_long_pauses_is_speech_where_somebody_talks() -> None:
    found, left = cut(("other", 10, -45), ("speech", 5, -20), ("other", 12, -45), ("speech", 8, -20), ("other", 7, -45))
    assert [domain for domain, _, _ in found] == ["speech", "speech"]
    assert [seconds for _, _, seconds in found] == [pytest.approx(5.4, abs=0.2), pytest.approx(8.4, abs=0.2)]
    assert left == {"pause": pytest.approx(28.2, abs=0.3)}


def test_loud_music_between_two_talks_is_a_stretch_of_its_own() -> None:
    found, left = cut(("speech", 10, -20), ("other", 40, -22), ("speech", 10, -20), ("other", 60, -70))
    assert [domain for domain, _, _ in found] == ["speech", "music", "music", "music", "music", "speech"]
    assert left == {"pause": pytest.approx(59.8, abs=0.3)}


def test_a_song_in_which_the_detector_hears_some_words_stays_music() -> None:
    found, left = cut(
        ("other", 30, -18), ("speech", 6, -16), ("other", 30, -17), ("speech", 6, -16), ("other", 20, -18)
    )
    assert {domain for domain, _, _ in found} == {"music"}
    assert (len(found), left) == (9, {"rest": pytest.approx(2, abs=0.2)})


def test_a_short_sound_of_unknown_domain_without_speech_is_guessed_to_be_sound() -> None:
    row, hearing = recording(("other", 4, -20))
    (stretch,), left = segment(row, hearing, RawToAnnotated(), 4.0)
    assert (stretch.domain, stretch.decision.annotator, stretch.decision.confidence) == ("sound", "length", 0.5)
    assert left == []


def test_long_speech_is_cut_at_pauses_and_loses_only_long_ones() -> None:
    found, left = cut(
        ("speech", 9, -20),
        ("other", 1, -50),
        ("speech", 9, -20),
        ("other", 5, -50),
        ("speech", 3, -20),
        domain="speech",
    )
    assert [domain for domain, _, _ in found] == ["speech"] * 3
    assert found[0][2] == pytest.approx(9.5, abs=0.3)
    assert left == {"pause": pytest.approx(4.6, abs=0.2)}


def test_speech_with_a_given_text_keeps_its_pauses() -> None:
    found, left = cut(("speech", 9, -20), ("other", 5, -50), ("speech", 9, -20), domain="speech", given_text="so")
    assert sum(seconds for _, _, seconds in found) == pytest.approx(23, abs=0.1)
    assert left == {}


def test_what_is_said_to_be_speech_and_holds_none_is_dropped() -> None:
    with pytest.raises(NothingHeardError, match=r"speech in 0\.0% of it"):
        cut(("other", 5, -20), domain="speech")


def test_a_rest_of_music_that_makes_no_piece_is_counted() -> None:
    found, left = cut(("other", 34, -20), domain="music")
    assert (len(found), left) == (3, {"rest": 4.0})
