import numpy as np
import pytest
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.tonality import KEYS, estimate_key, pitch_classes

RATE = 16_000
_CADENCE = {
    "major": ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7)),
    "minor": ((0, 3, 7), (5, 8, 12), (7, 11, 14), (0, 3, 7)),
}


def notes(midi: tuple[int, ...], seconds: float, tuning: float = 0.0) -> np.ndarray:
    """Notes at once, each of six harmonics, `tuning` semitones sharp."""
    time_s = np.arange(round(seconds * RATE)) / RATE
    sound = np.zeros(time_s.size)
    for note in midi:
        hertz = 440 * 2 ** ((note + tuning - 69) / 12)
        for harmonic in range(1, 7):
            sound += np.sin(2 * np.pi * hertz * harmonic * time_s) / harmonic
    return (0.05 * sound * np.exp(-time_s)).astype(np.float32)


def a_cadence(tonic: int, mode: str, tuning: float = 0.0) -> np.ndarray:
    """Tonic, subdominant, dominant, tonic."""
    chords = [tuple(60 + tonic + note for note in chord) for chord in _CADENCE[mode]]
    return np.concatenate([notes(chord, 1.0, tuning) for chord in chords])


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", range(12))
def test_a_cadence_has_its_key(tonic: int, mode: str) -> None:
    shares = pitch_classes(a_cadence(tonic, mode), RATE)
    assert shares is not None
    key = estimate_key(shares)
    assert key.name == KEYS[tonic + (12 if mode == "minor" else 0)]
    assert key.fit > 0.7
    assert key.margin > 0.05


@pytest.mark.parametrize("tuning", [-0.4, -0.2, 0.3, 0.45])
def test_an_instrument_tuned_otherwise_has_the_same_key(tuning: float) -> None:
    shares = pitch_classes(a_cadence(2, "major", tuning), RATE)
    assert shares is not None
    assert estimate_key(shares).name == "D major"


def test_the_pitch_class_of_a_note_with_its_overtones_is_its_own() -> None:
    for note in (45, 52, 60, 71, 80):
        shares = pitch_classes(np.tile(notes((note,), 1.0), 4), RATE)
        assert shares is not None
        assert int(shares.argmax()) == note % 12
        assert shares.sum() == pytest.approx(1)


def test_a_loud_note_does_not_outweigh_a_quiet_piece() -> None:
    piece = np.concatenate([a_cadence(0, "major"), 20 * notes((66,), 0.6), a_cadence(0, "major")])
    shares = pitch_classes(piece, RATE)
    assert shares is not None
    assert estimate_key(shares).name == "C major"


def test_noise_fits_no_key_clearly() -> None:
    shares = pitch_classes(np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32), RATE)
    assert shares is not None
    assert shares.max() < 2 / 12
    assert estimate_key(np.full(12, 1 / 12)).margin == pytest.approx(0, abs=1e-9)


def test_silence_and_short_clips_have_no_pitch_classes() -> None:
    assert pitch_classes(np.zeros(10 * RATE, np.float32), RATE) is None
    assert pitch_classes(notes((60,), 2.9), RATE) is None


def test_keys_have_one_name_each_and_stereo_is_refused() -> None:
    assert len(set(KEYS)) == 24
    with pytest.raises(UsageError, match=r"must be \[N\], but is \(2, 9\)"):
        pitch_classes(np.zeros((2, 9), np.float32), RATE)
