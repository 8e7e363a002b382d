import numpy as np
import pytest

from uniaudio.audio.resample import resample, resample_blocks


@pytest.mark.parametrize("from_rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 44_101])
@pytest.mark.parametrize("block", [1_000, 70_001])
def test_a_recording_in_blocks_is_resampled_as_a_whole_one(from_rate: int, block: int) -> None:
    samples = np.random.default_rng(from_rate).standard_normal(9 * from_rate + 17).astype(np.float32)
    blocks = (samples[first : first + block] for first in range(0, len(samples), block))
    streamed = np.concatenate(list(resample_blocks(blocks, from_rate, 16_000)))
    whole = resample(samples, from_rate, 16_000)
    assert streamed.shape == whole.shape
    np.testing.assert_allclose(streamed, whole, atol=2e-6)


@pytest.mark.parametrize("num_samples", [0, 1, 5])
def test_a_recording_of_next_to_nothing_is_resampled_too(num_samples: int) -> None:
    samples = np.ones(num_samples, np.float32)
    streamed = np.concatenate(list(resample_blocks([samples], 44_100, 16_000)))
    assert len(streamed) == len(resample(samples, 44_100, 16_000))
