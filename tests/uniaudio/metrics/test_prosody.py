import numpy as np
import pytest

from uniaudio.metrics.prosody import instruction_agreement, intonation_error, pitch_error

RATE = 24_000
TIMES = np.arange(RATE) / RATE


def a_voice(hertz: float, swing: float = 0.0) -> np.ndarray:
    """Ten harmonics whose pitch swings by so many semitones, three times a second."""
    pitch = hertz * 2 ** (swing / 12 * np.sin(2 * np.pi * 3 * TIMES))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return sum(np.sin(number * phase) / number for number in range(1, 11)).astype(np.float32)


def test_an_octave_is_twelve_semitones_either_way() -> None:
    assert pitch_error(a_voice(120), a_voice(240), RATE) == pytest.approx(12, abs=0.1)
    assert pitch_error(a_voice(240), a_voice(120), RATE) == pytest.approx(12, abs=0.1)
    assert pitch_error(a_voice(200), a_voice(200)[: RATE // 2], RATE) == pytest.approx(0, abs=0.05)


def test_a_flat_voice_differs_from_a_lively_one_whatever_their_height() -> None:
    lively = a_voice(150, swing=3.0)
    assert intonation_error(lively, a_voice(150), RATE) == pytest.approx(3 / np.sqrt(2), abs=0.3)
    assert intonation_error(lively, a_voice(200, swing=3.0), RATE) == pytest.approx(0, abs=0.2)


def test_there_is_no_pitch_of_silence_and_of_noise() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    for other in (np.zeros(RATE, np.float32), noise):
        assert pitch_error(a_voice(150), other, RATE) is None
        assert intonation_error(other, a_voice(150), RATE) is None


def syllables(hertz: float, a_second: int) -> np.ndarray:
    """Two seconds of a voice that swells and fades so many times a second, after half a second of silence."""
    times = np.arange(2 * RATE) / RATE
    voice = np.concatenate([a_voice(hertz), a_voice(hertz)]) * (1 - np.cos(2 * np.pi * a_second * times)) / 2
    return np.concatenate([np.zeros(RATE // 2), voice]).astype(np.float32)


@pytest.mark.parametrize(
    ("instruction", "hertz", "a_second", "expected"),
    [
        ("A man speaks slowly in a low voice.", 90, 2, (2, 2)),
        ("A man speaks slowly in a low voice.", 90, 6, (1, 2)),
        ("A woman speaks fast and in a low-pitched voice.", 150, 6, (2, 2)),
        ("A man speaks fast and in a low-pitched voice.", 150, 2, (0, 2)),
        ("Somebody is speaking at a fast pace.", 150, 6, (1, 1)),
        ("A woman sounding sad.", 150, 3, None),
    ],
)
def test_speech_is_as_high_and_as_fast_as_it_was_told_to_be(
    instruction: str, hertz: float, a_second: int, expected: tuple[int, int] | None
) -> None:
    assert instruction_agreement(instruction, syllables(hertz, a_second), RATE) == expected


def test_silence_is_nothing_that_it_was_told_to_be() -> None:
    assert instruction_agreement("A man speaks slowly in a low voice.", np.zeros(RATE, np.float32), RATE) == (0, 2)
