from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import Clip
from uniaudio_pipelines.raw_to_annotated.annotators.music_structure import MusicStructure
from uniaudio_schemas.kinds.cuts import Cut

from tests.pipelines.raw_to_annotated.clips import a_raw

RATE = 16_000


def measure(samples: np.ndarray) -> dict[str, tuple[Any, float | None]]:
    raw = a_raw("music")
    clip = Clip(raw=raw, domain="music", samples=samples[None], analysis=samples)
    return {value.column: (value.value, value.confidence) for value in MusicStructure(Path(), "cpu").annotate(clip)}


def a_waltz(bpm: float, num_beats: int) -> np.ndarray:
    """The chords of G major, one each beat."""
    chords = ((55, 59, 62), (60, 64, 67), (62, 66, 69), (55, 59, 62), (52, 55, 59), (57, 60, 64))
    time_s = np.arange(round(60 / bpm * RATE)) / RATE
    beats = []
    for beat in range(num_beats):
        hertz = 440 * 2 ** ((np.array(chords[beat % len(chords)]) - 69) / 12)
        tones = sum(np.sin(2 * np.pi * h * k * time_s) / k for h in hertz for k in range(1, 5))
        beats.append(np.asarray(tones) * np.exp(-6 * time_s))
    return (0.05 * np.concatenate(beats)).astype(np.float32)


def test_a_piece_of_music_has_its_tempo_and_its_key() -> None:
    found = measure(a_waltz(96.0, 16))
    assert abs(found["tempo_bpm"][0] - 96) < 1
    assert found["key"][0] == "G major"
    assert all(confidence is not None and 0 < confidence <= 1 for _, confidence in found.values())
    assert set(found) == MusicStructure.writes
    assert set(Cut.__dataclass_fields__) >= MusicStructure.writes


def test_noise_and_silence_have_neither() -> None:
    assert measure(np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)) == {}
    assert measure(np.zeros(10 * RATE, np.float32)) == {}
    assert measure(np.zeros(0, np.float32)) == {}


def test_drums_have_a_tempo_and_no_key() -> None:
    rng = np.random.default_rng(0)
    beat = np.exp(-np.arange(RATE // 2) / 800) * 1.0
    drums = np.concatenate([beat * rng.standard_normal(beat.size) for _ in range(24)]).astype(np.float32)
    found = measure(drums)
    assert abs(found["tempo_bpm"][0] - 120) < 2
    assert "key" not in found
