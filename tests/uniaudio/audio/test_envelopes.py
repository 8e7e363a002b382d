import numpy as np
import pytest

from uniaudio.audio.envelopes import envelope_of, envelope_values, is_envelope, likeness
from uniaudio.audio.landmark_levels import levels
from uniaudio.audio.landmarks import FRAME_SAMPLES, LANDMARK_RATE, Landmarks, landmarks


def strokes(seed: int, duration_s: float = 2.0) -> np.ndarray:
    """Noise in bands, struck at random."""
    rng = np.random.default_rng(seed)
    effect_N = np.zeros(round(duration_s * LANDMARK_RATE))
    frequency = np.fft.rfftfreq(2_000, 1 / LANDMARK_RATE)
    for start in rng.integers(0, effect_N.size - 2_000, 12):
        spectrum = np.fft.rfft(rng.standard_normal(2_000)) * np.exp(
            -(((frequency - rng.uniform(200, 3_000)) / 300) ** 2)
        )
        effect_N[start : start + 2_000] += np.fft.irfft(spectrum) * np.exp(-np.arange(2_000) / rng.uniform(100, 600))
    return (0.5 * effect_N / np.abs(effect_N).max()).astype(np.float32)


def envelope(samples_N: np.ndarray) -> np.ndarray:
    values = landmarks(samples_N, LANDMARK_RATE)
    return envelope_of(values[is_envelope(values)])


def test_an_envelope_is_read_as_it_was_heard() -> None:
    levels_TF = levels(strokes(0, 4.0))
    values = envelope_values(levels_TF)
    assert is_envelope(values).all() and values.size == len(levels_TF) // 4 and (values < 0).all()
    power_SF = (10 ** (levels_TF[: values.size * 4] / 10)).reshape(values.size, 4, -1).mean(axis=1)
    whole_S = 10 * np.log10((10 ** (envelope_of(values) / 10)).sum(axis=1))
    heard_S = 10 * np.log10(power_SF[:, 5:218].sum(axis=1))
    is_loud_S = heard_S > heard_S.max() - 40
    # Levels are rounded to 3 dB, and given beside the loudest band of all.
    assert is_loud_S.sum() > 30 and np.ptp((whole_S - heard_S)[is_loud_S]) < 3.1


def test_blocks_change_no_envelope_and_gain_hardly_a_level_and_neither_tones_nor_landmarks_are_taken_for_one() -> None:
    samples_N = strokes(1, 10.0)
    values = landmarks(samples_N, LANDMARK_RATE)
    recording = Landmarks()
    for first in range(0, samples_N.size, 777):
        recording.add(samples_N[first : first + 777])
    assert np.array_equal(recording.finish(), values)
    # A level at the edge of a step may fall to either side.
    change_SB = np.abs(envelope(samples_N / 16) - envelope(samples_N))
    assert change_SB.max() <= 3 and (change_SB > 0).mean() < 0.01
    assert is_envelope(values).sum() == 125
    chime_N = np.sin(np.arange(16_000) * 0.55) * np.exp(-np.arange(16_000) / 3_000)
    of_chime = landmarks(chime_N, LANDMARK_RATE)
    assert is_envelope(of_chime).sum() == 62 and ((of_chime < 0) & ~is_envelope(of_chime)).sum() > 30


def test_what_is_silent_has_no_envelope() -> None:
    assert envelope(np.zeros(8_000, np.float32)).shape == (0, 7)
    assert envelope_values(np.zeros((3, 224), np.float32)).size == 0


@pytest.mark.parametrize("seed", range(4))
def test_copies_are_alike_where_they_lie_over_each_other_and_nowhere_else(seed: int) -> None:
    samples_N = strokes(seed)
    rng = np.random.default_rng([9, seed])
    noisy_N = samples_N + rng.standard_normal(samples_N.size) * np.std(samples_N) * 10 ** (-30 / 20)
    whole, cut_frames = envelope(samples_N), 37
    cut = envelope(noisy_N[cut_frames * FRAME_SAMPLES :].astype(np.float32))
    assert likeness(whole, cut, cut_frames, 1.0) > 0.95
    assert likeness(cut, whole, -cut_frames, 1.0) > 0.95
    assert likeness(whole, cut, cut_frames + 40, 1.0) < 0.8
    assert likeness(whole, envelope(strokes(seed + 100)), 0, 1.0) < 0.8


def test_too_little_in_common_is_not_alike() -> None:
    one = envelope(strokes(5))
    assert likeness(one, one, 0, 1.0) > 0.999
    assert likeness(one, one, 4 * len(one) // 2 + 8, 1.0) == 0
    assert likeness(one[:3], one[:3], 0, 1.0) == 0 and likeness(one[:1], one, 0, 1.0) == 0


def test_what_does_not_move_is_like_nothing() -> None:
    flat = np.zeros((20, 7), np.float32)
    assert likeness(flat, flat, 0, 1.0) == 0
    short_N, long_N = (0.3 * np.sin(np.arange(length) * 0.35).astype(np.float32) for length in (2_400, 4_800))
    assert likeness(envelope(long_N), envelope(short_N), 0, 1.0) == 0
