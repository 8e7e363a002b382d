"""A made voice: other pitch and formants, the same length, tempo and level."""

import numpy as np
import pytest

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.voice import shift_voice


def a_vowel(pitch_hz: float = 120.0, formant_hz: float = 1_000.0) -> np.ndarray:
    """One second of harmonics under one resonance, silent in its second quarter."""
    time_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    hertz = pitch_hz * np.arange(1, 40)
    sizes = np.exp(-0.5 * ((hertz - formant_hz) / 150) ** 2)
    vowel = (sizes[:, None] * np.sin(2 * np.pi * hertz[:, None] * time_s)).sum(axis=0)
    return (0.1 * np.where((time_s > 0.25) & (time_s < 0.5), 0, vowel)).astype(np.float32)


def spectrum(samples: np.ndarray) -> np.ndarray:
    """Of its second half, a bin 2 Hz."""
    half = samples[samples.size // 2 :]
    return np.abs(np.fft.rfft(half * np.hanning(half.size)))


@pytest.mark.parametrize("ratio", [0.75, 1.2, 1.37])
def test_pitch_and_formant_are_multiplied(ratio: float) -> None:
    power = spectrum(shift_voice(a_vowel(), ratio)) ** 2
    hertz = 2.0 * np.arange(power.size)
    assert (hertz * power).sum() / power.sum() == pytest.approx(1_000 * ratio, rel=0.02)
    near = (hertz > 840 * ratio - 30) & (hertz < 840 * ratio + 30)
    assert hertz[near][power[near].argmax()] == pytest.approx(840 * ratio, abs=3)


@pytest.mark.parametrize("ratio", [0.75, 1.37])
def test_tempo_and_level_stay(ratio: float) -> None:
    vowel = a_vowel()
    shifted = shift_voice(vowel, ratio)
    assert shifted.size == vowel.size
    assert np.std(shifted) == pytest.approx(np.std(vowel), rel=1e-3)
    silent = slice(int(0.3 * SAMPLE_RATE), int(0.45 * SAMPLE_RATE))
    assert np.std(shifted[silent]) < 0.05 * np.std(shifted)


def test_silence_stays_silence_and_one_sample_one_sample() -> None:
    assert not shift_voice(np.zeros(5_000, np.float32), 1.3).any()
    assert shift_voice(np.full(1, 0.5, np.float32), 1.3).shape == (1,)
