import numpy as np
import pytest

from uniaudio.metrics.duration import length_error
from uniaudio.metrics.si_sdr import si_sdr

RNG = np.random.default_rng(0)
SPEECH, NOISE = RNG.standard_normal(24_000), RNG.standard_normal(24_000)


@pytest.mark.parametrize("gain", [0.1, 1.0, 7.0])
def test_a_gain_changes_no_ratio(gain: float) -> None:
    assert si_sdr(SPEECH, gain * (SPEECH + 0.1 * NOISE)) == pytest.approx(20, abs=0.3)


def test_the_ratio_has_bounds_and_none_of_silence() -> None:
    assert si_sdr(SPEECH, SPEECH) == 100
    assert si_sdr(SPEECH, np.zeros(24_000)) is None
    assert si_sdr(np.ones(100), SPEECH) is None  # a constant is silent
    assert si_sdr(SPEECH[:0], SPEECH) is None


def test_what_is_longer_is_cut() -> None:
    assert si_sdr(SPEECH, np.concatenate([SPEECH, NOISE])) == 100


def test_twice_and_half_as_long_are_equally_wrong() -> None:
    assert length_error(10, 20) == length_error(20, 10) == pytest.approx(np.log(2))
    assert length_error(10, 10) == 0
    assert length_error(10, 0) is length_error(0, 10) is None
