"""What is measured of speech, on made speech whose measures are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip
from uniaudio_pipelines.raw_to_annotated.annotators.prosody import Prosody
from uniaudio_schemas.kinds.cuts import Cut

from tests.pipelines.raw_to_annotated.clips import a_raw

RATE, FRAME = 16_000, 512


def clip(samples: np.ndarray, speech: np.ndarray) -> Clip:
    raw = a_raw(num_samples=len(samples), channels=1)
    return Clip(
        raw=raw,
        domain="speech",
        samples=samples[None],
        analysis=samples,
        speech_probabilities=np.where(speech, 0.9, 0.1).astype(np.float32),
    )


def voice(num_frames: int, hertz: float, syllables_a_second: float = 4.0) -> np.ndarray:
    time_s = np.arange(num_frames * FRAME) / RATE
    harmonics = hertz * np.arange(1, 20)
    sizes = np.exp(-0.5 * ((harmonics - 600) / 250) ** 2)
    vowel = (sizes[:, None] * np.sin(2 * np.pi * harmonics[:, None] * time_s)).sum(axis=0)
    return (0.1 * vowel * (0.05 + np.sin(np.pi * ((time_s * syllables_a_second) % 1)) ** 2)).astype(np.float32)


def measure(samples: np.ndarray, speech: np.ndarray) -> dict[str, Any]:
    return {value.column: value.value for value in Prosody(Path(), "cpu").annotate(clip(samples, speech))}


def test_two_stretches_of_speech_with_a_pause_are_measured_without_the_hum_in_between() -> None:
    hum = 0.2 * np.sin(2 * np.pi * 500 * np.arange(25 * FRAME) / RATE).astype(np.float32)
    samples = np.concatenate([hum, voice(50, 120.0), hum, voice(50, 160.0), hum])
    speech = np.concatenate([np.zeros(25), np.ones(50), np.zeros(25), np.ones(50), np.zeros(25)]) > 0
    found = measure(samples, speech)
    assert found["num_pauses"] == 1
    assert found["pause_fraction"] == pytest.approx(0.2)
    assert 118 < found["pitch_hz"] < 162
    assert found["pitch_range_semitones"] == pytest.approx(12 * np.log2(160 / 120), abs=0.2)
    assert found["syllables_per_s"] == pytest.approx(4, abs=0.35)
    power = np.mean(np.concatenate([samples[25 * FRAME : 75 * FRAME], samples[100 * FRAME : 150 * FRAME]]) ** 2)
    assert found["level_dbfs"] == pytest.approx(10 * np.log10(power), abs=0.1)


def test_every_column_it_may_write_is_a_column_of_a_cut_and_is_written_about_speech() -> None:
    found = measure(voice(60, 120.0), np.ones(60, bool))
    assert set(found) == Prosody.writes
    assert set(Cut.__dataclass_fields__) >= Prosody.writes


def test_a_whisper_has_pauses_and_a_level_but_no_pitch() -> None:
    whisper = 0.1 * np.random.default_rng(0).standard_normal(60 * FRAME).astype(np.float32)
    found = measure(whisper, np.ones(60, bool))
    assert {"pitch_hz", "pitch_range_semitones"}.isdisjoint(found)
    assert found["level_dbfs"] == pytest.approx(-20, abs=0.2)


@pytest.mark.parametrize("num_frames", [0, 1, 8])
def test_too_little_speech_is_not_measured(num_frames: int) -> None:
    speech = np.arange(40) < num_frames
    assert measure(voice(40, 120.0), speech) == {}


def test_without_voice_activity_the_whole_clip_is_measured() -> None:
    samples = voice(60, 120.0)
    without = clip(samples, np.zeros(0, bool))
    found = {value.column: value.value for value in Prosody(Path(), "cpu").annotate(without)}
    assert found == measure(samples, np.ones(60, bool))


def test_a_clip_that_does_not_fill_its_last_frame_is_measured_to_its_end() -> None:
    samples = voice(60, 120.0)[:-200]
    assert measure(samples, np.ones(60, bool))["pitch_hz"] == pytest.approx(120, abs=1)
