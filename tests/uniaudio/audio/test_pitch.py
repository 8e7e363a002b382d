"""The pitch of tones and made vowels is known."""

import numpy as np
import pytest
from uniaudio_schemas.errors import UsageError

from uniaudio.audio import pitch
from uniaudio.audio.pitch import track_pitch

RATE = 16_000


def a_vowel(hertz_N: np.ndarray, formants_hz: tuple[float, ...] = (500.0, 1_500.0, 2_500.0)) -> np.ndarray:
    """Harmonics of a pitch that may glide, under resonances."""
    phase_N = 2 * np.pi * np.cumsum(hertz_N) / RATE
    vowel_N = np.zeros(len(hertz_N))
    for harmonic in range(1, 60):
        at_N = harmonic * hertz_N
        size_N = sum(np.exp(-0.5 * ((at_N - formant) / 150) ** 2) for formant in formants_hz) + 0.02
        vowel_N += np.where(at_N < RATE / 2, size_N, 0) * np.sin(harmonic * phase_N)
    return (0.1 * vowel_N).astype(np.float32)


@pytest.mark.parametrize("hertz", [65.0, 97.3, 150.0, 220.0, 311.0, 470.0, 580.0])
def test_the_pitch_of_a_steady_vowel_is_found_within_a_twentieth_of_a_semitone(hertz: float) -> None:
    track = track_pitch(a_vowel(np.full(RATE, hertz)), RATE)
    inside = track.hertz[5:-5]
    assert np.abs(12 * np.log2(inside / hertz)).max() < 0.05
    assert track.periodicity[5:-5].min() > 0.95


def test_a_glide_over_two_octaves_is_followed_without_a_jump() -> None:
    hertz_N = 90 * 2 ** (2 * np.arange(2 * RATE) / (2 * RATE))
    track = track_pitch(a_vowel(hertz_N), RATE)
    middles = ((np.arange(len(track.hertz)) + 0.5) * RATE / pitch.FRAME_RATE).astype(int)
    error = 12 * np.log2(track.hertz[5:-5] / hertz_N[middles][5:-5])
    assert np.abs(error).max() < 0.5
    assert abs(error.mean()) < 0.03


@pytest.mark.parametrize("formant_hz", [300.0, 440.0, 660.0])
def test_a_resonance_on_a_harmonic_is_not_taken_for_the_pitch(formant_hz: float) -> None:
    track = track_pitch(a_vowel(np.full(RATE, 110.0), (formant_hz,)), RATE)
    assert np.median(track.hertz) == pytest.approx(110, rel=0.01)


def test_a_missing_fundamental_is_heard() -> None:
    time_s = np.arange(RATE) / RATE
    partials = sum(np.sin(2 * np.pi * 120 * harmonic * time_s) for harmonic in (4, 5, 6, 7, 8))
    track = track_pitch((0.05 * np.asarray(partials)).astype(np.float32), RATE)
    assert np.median(track.hertz[5:-5]) == pytest.approx(120, rel=0.01)


def test_noise_and_silence_have_no_pitch_and_a_vowel_between_them_has() -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    samples = np.concatenate([noise, a_vowel(np.full(RATE, 140.0)), np.zeros(RATE, np.float32)]) + np.float32(0.2)
    voiced = track_pitch(samples, RATE).hertz > 0
    assert voiced[:95].mean() < 0.05
    assert voiced[105:195].all()
    assert not voiced[205:].any()


def test_hum_forty_decibels_below_the_voice_is_silence() -> None:
    voice = a_vowel(np.full(RATE, 140.0))
    voiced = track_pitch(np.concatenate([voice, voice / 100]), RATE).hertz > 0
    assert voiced[5:95].all()
    assert not voiced[105:].any()


def test_a_constant_offset_changes_nothing() -> None:
    voice = a_vowel(np.full(RATE, 140.0))
    np.testing.assert_allclose(track_pitch(voice + 0.3, RATE).hertz, track_pitch(voice, RATE).hertz, rtol=0.002)


def test_pitch_is_found_in_noise_ten_decibels_below_the_voice() -> None:
    vowel = a_vowel(np.full(2 * RATE, 160.0))
    noise = np.random.default_rng(1).standard_normal(vowel.size) * vowel.std() * 10 ** (-10 / 20)
    found = track_pitch((vowel + noise).astype(np.float32), RATE).hertz
    voiced = found[found > 0]
    assert voiced.size > 0.9 * found.size
    assert np.mean(np.abs(12 * np.log2(voiced / 160)) > 1) < 0.01


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_other_rates_give_the_same_pitch(rate: int) -> None:
    time_s = np.arange(rate) / rate
    partials = sum(np.sin(2 * np.pi * 200 * harmonic * time_s) / harmonic for harmonic in range(1, 8))
    track = track_pitch(np.asarray(partials, np.float32), rate)
    assert len(track.hertz) == 100
    assert np.median(track.hertz) == pytest.approx(200, rel=0.005)


def test_blocks_of_a_long_clip_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = a_vowel(120 + 30 * np.sin(np.arange(RATE) / 900))
    whole = track_pitch(samples, RATE)
    monkeypatch.setattr(pitch, "_FRAMES_A_BLOCK", 17)
    by_blocks = track_pitch(samples, RATE)
    np.testing.assert_allclose(by_blocks.hertz, whole.hertz, rtol=1e-5)
    np.testing.assert_allclose(by_blocks.periodicity, whole.periodicity, atol=1e-5)


def test_a_clip_without_samples_has_no_frames_and_one_sample_has_one_without_pitch() -> None:
    assert track_pitch(np.zeros(0, np.float32), RATE).hertz.shape == (0,)
    assert track_pitch(np.ones(1, np.float32), RATE).hertz.tolist() == [0.0]


def test_stereo_and_low_rates_are_refused() -> None:
    with pytest.raises(UsageError, match=r"must be \[N\], but is \(2, 9\)"):
        track_pitch(np.zeros((2, 9), np.float32), RATE)
    with pytest.raises(UsageError, match="2400 or more, but is 2000"):
        track_pitch(np.zeros(9, np.float32), 2_000)
