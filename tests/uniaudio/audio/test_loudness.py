import math

import numpy as np
import pytest

from uniaudio.audio import loudness
from uniaudio.audio.loudness import integrated_loudness, limit_peak


def a_sine(sample_rate: int, duration_s: float = 4.0, level_db: float = 0.0, hertz: float = 997) -> np.ndarray:
    time = np.arange(round(sample_rate * duration_s)) / sample_rate
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def test_the_filters_at_48_khz_are_the_tables_of_the_recommendation() -> None:
    numerator, denominator = loudness._shelf(48_000)
    np.testing.assert_allclose(numerator, (1.53512485958697, -2.69169618940638, 1.19839281085285), atol=1e-9)
    np.testing.assert_allclose(denominator, (1.0, -1.69065929318241, 0.73248077421585), atol=1e-9)
    np.testing.assert_allclose(loudness._high_pass(48_000)[1], (1.0, -1.99004745483398, 0.99007225036621), atol=1e-9)


@pytest.mark.parametrize("sample_rate", [11_025, 16_000, 24_000, 44_100, 48_000])
def test_a_full_scale_997_hz_sine_has_minus_3_01_lufs_at_any_rate(sample_rate: int) -> None:
    assert integrated_loudness(a_sine(sample_rate), sample_rate) == pytest.approx(-3.01, abs=0.06)


# EBU Tech 3341, case 1: -23 dBFS in both channels is -23 LUFS
def test_stereo_adds_the_power_of_its_channels() -> None:
    stereo = np.stack([a_sine(48_000, level_db=-23.0, hertz=1_000)] * 2)
    assert integrated_loudness(stereo, 48_000) == pytest.approx(-23.0, abs=0.1)


def test_pauses_do_not_count() -> None:  # EBU Tech 3341, case 3: quiet ends are gated away
    quiet, loud = (a_sine(48_000, 10, level) for level in (-39.0, -26.0))
    with_pauses = integrated_loudness(np.concatenate([quiet, loud, loud, loud, quiet]), 48_000)
    assert with_pauses == pytest.approx(integrated_loudness(loud, 48_000), abs=0.1)


def test_blocks_of_a_long_clip_join_without_a_seam() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(8_000 * 45)
    whole = loudness._k_weighted(noise[None], 8_000)[0]
    first = 8_000 * 20 - 3_200
    by_blocks = loudness._block_power(noise[None], 8_000)[first // 800]
    assert by_blocks == pytest.approx(np.mean(whole[first : first + 3_200] ** 2), rel=1e-9)


def test_silence_has_no_loudness() -> None:
    assert integrated_loudness(np.zeros(24_000, np.float32), 24_000) is None


def test_a_clip_shorter_than_a_gating_block_still_has_a_loudness() -> None:
    value = integrated_loudness(a_sine(24_000, 0.1), 24_000)
    assert value is not None
    assert math.isfinite(value)


def test_what_reaches_full_scale_is_scaled_below_it() -> None:
    clicks = np.zeros(24_000, np.float32)
    clicks[::2_400] = 1.5
    assert np.abs(limit_peak(clicks)).max() == pytest.approx(0.95)
    assert np.array_equal(limit_peak(clicks / 2), clicks / 2)
