import numpy as np
import pytest
from uniaudio_schemas.errors import UsageError

from uniaudio.audio import rhythm
from uniaudio.audio.rhythm import MIN_PERIODICITY, estimate_tempo, onset_envelope

RATE = 16_000


def clicks(bpm: float, seconds: float, accents: tuple[float, ...] = (1.0,), seed: int = 0) -> np.ndarray:
    """Short bursts of noise on each beat, as loud as the accents say in turn."""
    rng = np.random.default_rng(seed)
    samples = 0.001 * rng.standard_normal(round(seconds * RATE))
    burst = np.exp(-np.arange(800) / 150)
    for beat, at_s in enumerate(np.arange(0, seconds - 0.06, 60 / bpm)):
        first = round(at_s * RATE)
        samples[first : first + 800] += 0.5 * accents[beat % len(accents)] * burst * rng.standard_normal(800)
    return samples.astype(np.float32)


@pytest.mark.parametrize("bpm", [72.0, 88.0, 100.0, 117.0, 133.0])
@pytest.mark.parametrize("seconds", [10.0, 25.0])
def test_the_tempo_of_clicks_is_found_within_one_percent(bpm: float, seconds: float) -> None:
    tempo = estimate_tempo(onset_envelope(clicks(bpm, seconds), RATE))
    assert tempo is not None
    assert tempo.bpm == pytest.approx(bpm, rel=0.01)
    assert tempo.periodicity > 0.7


def test_eighth_notes_between_the_beats_do_not_double_the_tempo() -> None:
    # Beats at 90 with softer notes halfway.
    tempo = estimate_tempo(onset_envelope(clicks(180.0, 15.0, (1.0, 0.2)), RATE))
    assert tempo is not None
    assert tempo.bpm == pytest.approx(90, rel=0.01)


def test_noise_and_a_held_chord_have_no_clear_tempo() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(20 * RATE).astype(np.float32)
    time_s = np.arange(20 * RATE) / RATE
    chord = 0.1 * sum(np.sin(2 * np.pi * hertz * time_s) for hertz in (220, 277, 330))
    swelling = (np.asarray(chord) * time_s / 20).astype(np.float32)
    for samples in (noise, swelling):
        tempo = estimate_tempo(onset_envelope(samples, RATE))
        assert tempo is None or tempo.periodicity < MIN_PERIODICITY


def test_clicks_at_random_have_no_clear_tempo() -> None:
    rng = np.random.default_rng(3)
    samples = np.zeros(30 * RATE, np.float32)
    for first in rng.integers(0, samples.size - 800, 60):
        samples[first : first + 800] += (np.exp(-np.arange(800) / 150) * rng.standard_normal(800)).astype(np.float32)
    tempo = estimate_tempo(onset_envelope(samples, RATE))
    assert tempo is None or tempo.periodicity < MIN_PERIODICITY


def test_an_envelope_is_high_where_something_starts_whatever_the_level() -> None:
    samples = np.zeros(4 * RATE, np.float32)
    samples[2 * RATE : 2 * RATE + 800] = np.random.default_rng(0).standard_normal(800)
    envelope = onset_envelope(samples, RATE)
    assert len(envelope) == 400
    assert abs(int(envelope.argmax()) - 200) <= 4
    np.testing.assert_allclose(onset_envelope(samples / 8, RATE), envelope, rtol=1e-3, atol=1e-9)


def test_blocks_of_a_long_clip_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = clicks(100.0, 8.0)
    whole = onset_envelope(samples, RATE)
    monkeypatch.setattr(rhythm, "_FRAMES_A_BLOCK", 37)
    np.testing.assert_allclose(onset_envelope(samples, RATE), whole, rtol=1e-5, atol=1e-6)


def test_short_clips_and_silence_have_no_tempo() -> None:
    assert estimate_tempo(onset_envelope(clicks(120.0, 3.9), RATE)) is None
    assert estimate_tempo(onset_envelope(np.zeros(10 * RATE, np.float32), RATE)) is None
    assert estimate_tempo(onset_envelope(np.zeros(0, np.float32), RATE)) is None


def test_stereo_is_refused() -> None:
    with pytest.raises(UsageError, match=r"must be \[N\], but is \(2, 9\)"):
        onset_envelope(np.zeros((2, 9), np.float32), RATE)
