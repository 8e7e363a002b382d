import numpy as np
import pytest
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.envelopes import is_envelope
from uniaudio.audio.landmarks import FRAME_SAMPLES, LANDMARK_RATE, Landmarks, frames, hashes
from uniaudio.audio.landmarks import landmarks as fingerprint
from uniaudio.audio.resample import resample


def syllables(duration_s: float, seed: int = 0) -> np.ndarray:
    """`[N]` float32 at 8 kHz: harmonics of a wandering pitch behind formants that jump four times a second."""
    rng = np.random.default_rng(seed)
    num_samples = round(duration_s * LANDMARK_RATE)
    knots = np.arange(0, num_samples + 2_000, 2_000)
    over_time = lambda low, high: np.interp(np.arange(num_samples), knots, rng.uniform(low, high, knots.size))  # noqa: E731
    phase_N = 2 * np.pi * np.cumsum(over_time(100, 220)) / LANDMARK_RATE
    pitch_N = np.gradient(phase_N) * LANDMARK_RATE / 2 / np.pi
    formants = [np.repeat(rng.uniform(*span, knots.size), 2_000)[:num_samples] for span in ((250, 900), (900, 2_800))]
    voice_N = sum(
        np.sin(k * phase_N) * sum(np.exp(-(((k * pitch_N - formant_N) / 150) ** 2)) for formant_N in formants)
        for k in range(1, 25)
    )
    loudness_N = np.repeat(rng.uniform(0.05, 1, knots.size), 2_000)[:num_samples] * np.exp(
        -(np.arange(num_samples) % 2_000) / 900
    )
    return (0.1 * voice_N * loudness_N).astype(np.float32)


def in_blocks(samples_N: np.ndarray, sizes: list[int]) -> np.ndarray:
    recording, first = Landmarks(), 0
    for size in [*sizes, samples_N.size]:
        recording.add(samples_N[first : first + size])
        first += size
    values = recording.finish()
    return values[~is_envelope(values)]


def landmarks(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Of the fingerprint what is no envelope."""
    values = fingerprint(samples, sample_rate)
    return values[~is_envelope(values)]


def shared(one: np.ndarray, other: np.ndarray) -> float:
    """The share of the smaller one's landmarks whose hash the other has, too."""
    return len(np.intersect1d(hashes(one), hashes(other))) / min(
        len(np.unique(hashes(one))), len(np.unique(hashes(other)))
    )


def test_the_blocks_that_a_recording_comes_in_change_no_landmark() -> None:
    samples_N = syllables(30)
    whole = landmarks(samples_N, LANDMARK_RATE)
    assert np.array_equal(in_blocks(samples_N, [1, 63, 0, 65_535, 7_000, 100_000]), whole)
    assert np.array_equal(in_blocks(samples_N, [500] * 480), whole)


def test_what_is_cut_off_moves_the_other_landmarks_by_its_length_and_changes_none() -> None:
    samples_N = syllables(40)
    whole, cut_frames = landmarks(samples_N, LANDMARK_RATE), 301
    cut = landmarks(samples_N[cut_frames * FRAME_SAMPLES :], LANDMARK_RATE)
    # Two seconds behind the cut: neighbours reach a second, and the first second keeps more landmarks.
    of_whole, of_cut = (values[frames(values) >= first] for values, first in ((whole, 250 + cut_frames), (cut, 250)))
    assert len(of_whole) > 500
    assert np.array_equal(of_whole - cut_frames, of_cut)


def test_the_level_changes_no_landmark() -> None:
    samples_N = syllables(3)
    assert np.array_equal(landmarks(samples_N, LANDMARK_RATE), landmarks(samples_N / 16, LANDMARK_RATE))


def test_silence_and_nothing_have_no_landmarks() -> None:
    for samples_N in (np.zeros(0, np.float32), np.zeros(40_000, np.float32), np.full(8_000, 1e-7, np.float32)):
        assert fingerprint(samples_N, LANDMARK_RATE).size == 0


@pytest.mark.parametrize("duration_s", [0.5, 2, 30])
def test_a_short_recording_has_enough_landmarks_and_a_long_one_not_too_many(duration_s: float) -> None:
    count = landmarks(syllables(duration_s), LANDMARK_RATE).size
    assert 60 <= count <= 140 + 40 * duration_s


def test_tones_have_values_below_zero_that_blocks_and_level_do_not_change() -> None:
    time_s = np.arange(2 * LANDMARK_RATE) / LANDMARK_RATE
    chime_N = (0.3 * np.sin(2 * np.pi * 700 * time_s) * np.exp(-time_s / 0.3)).astype(np.float32)
    values = landmarks(chime_N, LANDMARK_RATE)
    tones = values[values < 0]
    assert tones.size > 30
    assert frames(tones).min() >= 0 and frames(tones).max() <= 2 * LANDMARK_RATE // FRAME_SAMPLES
    assert np.unique(hashes(tones)).size == tones.size
    assert np.array_equal(in_blocks(chime_N, [63, 500, 7_000]), values)
    assert np.array_equal(landmarks(chime_N / 16, LANDMARK_RATE), values)


def test_noise_and_what_comes_after_half_a_minute_have_no_tones() -> None:
    noise_N = np.random.default_rng(0).standard_normal(30 * LANDMARK_RATE).astype(np.float32)
    beep_N = np.sin(np.arange(LANDMARK_RATE) / 3).astype(np.float32)
    assert (landmarks(np.concatenate([0.1 * noise_N, beep_N]), LANDMARK_RATE) >= 0).all()


def test_copies_share_landmarks_and_other_recordings_share_almost_none() -> None:
    samples_N = syllables(4)
    original = landmarks(samples_N, LANDMARK_RATE)
    rng = np.random.default_rng(1)
    noise_N = rng.standard_normal(samples_N.size).astype(np.float32) * np.std(samples_N) * 10 ** (-30 / 20)
    telephone_N = np.sign(samples_N) * np.log1p(255 * np.abs(samples_N)) / np.log(256)
    telephone_N = np.rint(telephone_N * 127) / 127
    telephone_N = np.sign(telephone_N) * np.expm1(np.abs(telephone_N) * np.log(256)) / 255
    copies = {
        "noise at 30 dB": landmarks(samples_N + noise_N, LANDMARK_RATE),
        "mu-law": landmarks(telephone_N, LANDMARK_RATE),
        "44.1 kHz stereo": landmarks(np.stack([resample(samples_N, LANDMARK_RATE, 44_100)] * 2), 44_100),
        "3,001 samples trimmed": landmarks(samples_N[3_001:], LANDMARK_RATE),
        "1 % faster": landmarks(resample(samples_N, 101, 100), LANDMARK_RATE),
        "1 % slower": landmarks(resample(samples_N, 99, 100), LANDMARK_RATE),
    }
    assert {name: shared(original, copy) > 0.15 for name, copy in copies.items()} == dict.fromkeys(copies, True)
    assert shared(original, landmarks(syllables(4, seed=2), LANDMARK_RATE)) < 0.03


def test_a_value_is_its_hash_and_its_frame() -> None:
    values = landmarks(syllables(2), LANDMARK_RATE)
    assert values.dtype == np.int64 and np.array_equal(values, np.unique(values))
    assert np.array_equal((hashes(values) << 24) + frames(values), values)
    assert frames(values).min() >= 0 and frames(values).max() < 2 * LANDMARK_RATE // FRAME_SAMPLES + 1
    assert hashes(values).min() >= 0 and hashes(values).max() < 2**39


def test_a_block_of_two_channels_is_refused() -> None:
    with pytest.raises(UsageError, match=r"mono, \[n\], but has shape \[2, 10\]"):
        Landmarks().add(np.zeros((2, 10), np.float32))
