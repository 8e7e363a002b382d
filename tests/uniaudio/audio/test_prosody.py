import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniaudio.audio.pitch import track_pitch
from uniaudio.audio.prosody import find_pauses, levels_db, mean_level_db, syllable_nuclei

RATE = 16_000


def syllables(num: int, a_second: float, hertz: float = 130.0, dip_db: float = np.inf) -> np.ndarray:
    """Vowels of equal length, each swelling and fading by `dip_db`, in which harmonics lie under a resonance at 600 Hz."""
    time_s = np.arange(round(num * RATE / a_second)) / RATE
    dip = 10 ** (-dip_db / 20)
    swell = dip + (1 - dip) * np.sin(np.pi * ((time_s * a_second) % 1)) ** 2
    harmonics = hertz * np.arange(1, 25)
    sizes = np.exp(-0.5 * ((harmonics - 600) / 200) ** 2)
    vowel = (sizes[:, None] * np.sin(2 * np.pi * harmonics[:, None] * time_s)).sum(axis=0)
    return (0.1 * swell * vowel).astype(np.float32)


@pytest.mark.parametrize("a_second", [2.0, 4.0, 6.0])
def test_every_syllable_has_one_nucleus_at_its_middle(a_second: float) -> None:
    samples = syllables(8, a_second)
    nuclei = syllable_nuclei(samples, RATE, track_pitch(samples, RATE))
    expected = (np.arange(8) + 0.5) * 100 / a_second
    assert len(nuclei) == 8
    assert np.abs(nuclei - expected).max() <= 4


@pytest.mark.parametrize(("dip_db", "num_found"), [(0.7, 1), (6.0, 5)])
def test_a_ripple_separates_no_syllables_and_a_dip_does(dip_db: float, num_found: int) -> None:
    samples = syllables(5, 4.0, dip_db=dip_db)
    assert len(syllable_nuclei(samples, RATE, track_pitch(samples, RATE))) == num_found


def test_bursts_of_noise_are_no_syllables() -> None:
    samples = syllables(6, 3.0)
    noise = 0.1 * np.random.default_rng(0).standard_normal(samples.size).astype(np.float32)
    swell = np.sin(np.pi * ((np.arange(samples.size) * 3.0 / RATE) % 1)) ** 2
    both = np.concatenate([samples, noise * swell.astype(np.float32)])
    nuclei = syllable_nuclei(both, RATE, track_pitch(both, RATE))
    assert len(nuclei) == 6
    assert nuclei.max() < 200


def test_murmur_far_below_the_voice_is_no_syllable() -> None:
    samples = np.concatenate([syllables(4, 4.0), 10 ** (-28 / 20) * syllables(4, 4.0)])
    assert len(syllable_nuclei(samples, RATE, track_pitch(samples, RATE))) == 4


def test_nothing_has_no_syllables() -> None:
    silence = np.zeros(RATE, np.float32)
    assert syllable_nuclei(silence, RATE, track_pitch(silence, RATE)).size == 0


def test_only_silence_of_a_fifth_of_a_second_between_speech_is_a_pause() -> None:
    #         before speech, speech, 0.19 s, speech, 0.2 s, speech, after speech
    speech = [False] * 40 + [True] * 10 + [False] * 19 + [True] * 11 + [False] * 20 + [True] * 40 + [False] * 70
    found = find_pauses(np.array(speech), 100.0)
    assert found is not None
    assert (found.num_pauses, found.pause_frames, found.spoken_frames) == (1, 20, 80)
    assert found.fraction == pytest.approx(0.2)


def test_where_nobody_speaks_there_are_no_pauses_to_speak_of() -> None:
    assert find_pauses(np.zeros(50, bool), 31.25) is None
    assert find_pauses(np.zeros(0, bool), 31.25) is None


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_pauses_are_the_same_backwards(speech: list[bool]) -> None:
    assert find_pauses(np.array(speech), 31.25) == find_pauses(np.array(speech[::-1]), 31.25)


def test_a_full_scale_square_wave_has_0_db_and_silence_minus_120() -> None:
    samples = np.concatenate([np.tile([1.0, -1.0], 512), np.zeros(1_024), np.ones(3)])
    np.testing.assert_allclose(levels_db(samples, 512), [0, 0, -120, -120])


def test_a_mean_level_is_of_the_power() -> None:
    assert mean_level_db(np.array([0.0, -120.0])) == pytest.approx(-3.01, abs=0.01)
