"""What the levels of a whole file say of it: full scale, cancelling and silent channels, offset."""

import numpy as np
import pytest
from uniaudio_schemas.errors import DataError

from uniaudio.audio.levels import MAX_CLIP_NOISE, Levels, full_scale_gain, level_problems, mono_channel

TIME = np.arange(16_000) / 16_000
TONE = 0.5 * np.sin(2 * np.pi * 440 * TIME)
NOISE = np.random.default_rng(0).standard_normal((4, 16_000))


def levels_of(*channels: np.ndarray, block: int = 5_000) -> Levels:
    levels, samples_CN = Levels(), np.stack(channels).astype(np.float32)
    for first in range(0, samples_CN.shape[1], block):
        levels.add(samples_CN[:, first : first + block])
    return levels


def kinds(levels: Levels) -> list[str]:
    return [problem.kind for problem in level_problems(levels)]


def test_levels_are_those_of_the_whole_file() -> None:
    left, right = TONE + 0.1, 0.3 * NOISE[0]
    levels = levels_of(left, right)
    assert levels.num_samples == 16_000 and levels.num_channels == 2
    np.testing.assert_allclose(levels.peaks, [0.6, np.abs(right).max()], rtol=1e-6)
    np.testing.assert_allclose(levels.offsets, [0.1, right.mean()], atol=1e-7)
    np.testing.assert_allclose(levels.mean_squares, [left.var(), right.var()], rtol=1e-6)
    assert levels.correlation == pytest.approx(np.corrcoef(left, right)[0, 1], abs=1e-6)
    mean = np.stack([left, right]).mean(axis=0).var()
    assert levels.mean_energy == pytest.approx(mean / np.mean([left.var(), right.var()]), rel=1e-6)


def test_the_same_blocks_give_the_same_bits_and_others_nearly_so() -> None:
    first, again, other = (levels_of(NOISE[0], NOISE[1], block=block) for block in (777, 777, 4_096))
    assert first.mean_energy == again.mean_energy and first.correlation == again.correlation
    assert first.share_flat == other.share_flat > 0
    assert first.mean_energy == pytest.approx(other.mean_energy, rel=1e-12)


def test_silence_has_no_level_and_no_problem() -> None:
    for levels in (Levels(), levels_of(np.zeros(100)), levels_of(np.zeros(100), np.zeros(100))):
        assert (levels.peak, levels.mean_energy, levels.correlation) == (0, 1, None)
        assert full_scale_gain(levels) == 1 and mono_channel(levels) is None and not level_problems(levels)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_floats_at_the_scale_of_integers_are_divided_by_exactly_that(bits: int) -> None:
    scale = 2.0 ** (bits - 1)
    whole_numbers = np.rint(TONE * scale)
    assert full_scale_gain(levels_of(whole_numbers)) == 1 / scale
    assert full_scale_gain(levels_of(TONE * scale + 0.25)) == 1 / scale  # resampled since, no whole numbers
    assert full_scale_gain(levels_of(np.full(100, -scale))) == 1 / scale


def test_quiet_whole_numbers_are_of_16_bits_and_a_quiet_odd_peak_is_refused() -> None:
    assert full_scale_gain(levels_of(np.rint(TONE * 100))) == 2**-15
    for odd in (TONE * 100, TONE * 120_000, TONE * 1e12, np.rint(TONE * 1e12)):
        with pytest.raises(DataError, match=r"x\.wav: beyond_full_scale"):
            full_scale_gain(levels_of(odd + 0.125 * (odd[5] % 1 > 0)), "x.wav")


def test_an_integer_scale_that_resampling_went_beyond_is_scaled_by_its_peak() -> None:
    assert full_scale_gain(levels_of(TONE * 2.2 * 32_768)) == pytest.approx(1 / (1.1 * 32_768), rel=1e-4)


def test_a_hot_mix_is_scaled_by_its_peak_and_rare_overshoots_are_left() -> None:
    assert full_scale_gain(levels_of(TONE)) == 1
    assert full_scale_gain(levels_of(TONE * 2)) == 1
    hot = levels_of(TONE * 5)
    assert hot.clip_noise > MAX_CLIP_NOISE
    assert full_scale_gain(hot) == 1 / hot.peak
    rare = TONE.copy()
    rare[[100, 9_000]] = 1.15, -1.1
    assert 0 < levels_of(rare).clip_noise < MAX_CLIP_NOISE
    assert full_scale_gain(levels_of(rare)) == 1
    assert kinds(levels_of(rare)) == ["beyond_full_scale"]
    with pytest.raises(DataError, match=r"but is 4\.5"):
        full_scale_gain(levels_of(TONE * 9))


def test_the_louder_channel_is_taken_where_the_mean_cancels() -> None:
    for levels, channel in ((levels_of(TONE, -TONE), 0), (levels_of(0.9 * TONE, -0.98 * TONE), 1)):
        assert levels.mean_energy < 0.01
        assert mono_channel(levels) == channel
        assert kinds(levels) == ["channels_cancel"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_stereo_that_is_wide_keeps_its_mean(share: float) -> None:
    """From one sound in both channels to a fifth of the energy in phase, wider than real music is."""
    common, left, right = 0.1 * NOISE[:3]
    side = 0.1 * NOISE[3] * share
    levels = levels_of(common * (1 - share) + share * left + side, common * (1 - share) + share * right - side)
    assert mono_channel(levels) is None and not kinds(levels)


def test_a_microphone_that_was_not_connected_is_not_mixed_in() -> None:
    hum = 1e-4 * NOISE[0]
    for levels in (levels_of(hum, TONE), levels_of(np.zeros(16_000), TONE), levels_of(hum, TONE, 0 * hum)):
        assert mono_channel(levels) == 1
        assert kinds(levels) == ["silent_channel"]
    caller = np.where(TIME < 0.01, TONE, 0)
    assert mono_channel(levels_of(caller, TONE)) is None
    assert mono_channel(levels_of(TONE)) is None


def test_a_silent_channel_among_several_that_sound_changes_nothing_but_is_told() -> None:
    levels = levels_of(TONE, 0.2 * NOISE[0], 0 * TONE)
    assert mono_channel(levels) is None
    assert kinds(levels) == ["silent_channel"] and "[2] of 3" in str(level_problems(levels)[0])


def test_clipped_waves_and_offsets_are_told() -> None:
    clipped = np.clip(TONE * 4, -1, 32_767 / 32_768)
    assert kinds(levels_of(clipped)) == ["clipped"]
    assert kinds(levels_of(np.where(np.arange(16_000) == 5, 1, TONE))) == []  # one sample is no flat top
    assert kinds(levels_of(TONE + 0.05)) == ["constant_offset"]
    assert kinds(levels_of(np.rint((TONE + 0.01) * 32_768))) == ["beyond_full_scale"]


def test_a_flat_top_across_two_blocks_is_one() -> None:
    top = np.zeros(100)
    top[49:51] = 1
    assert levels_of(top, block=50).share_flat == levels_of(top, block=100).share_flat == 0.01
