from math import lcm

import pytest
from uniaudio_schemas.errors import UsageError

from uniaudio.audio import frames


def test_the_unit_is_the_smallest_that_holds_whole_frames_of_both_rates() -> None:
    assert lcm(frames.REASONING_HOP, frames.RECONSTRUCTION_HOP) == frames.UNIT


@pytest.mark.parametrize(
    ("num_samples", "reasoning", "reconstruction"), [(0, 0, 0), (1, 1, 1), (1920, 1, 1), (4800, 1, 3), (9600, 2, 5)]
)
def test_a_started_frame_counts(num_samples: int, reasoning: int, reconstruction: int) -> None:
    assert frames.num_reasoning_frames(num_samples) == reasoning
    assert frames.num_reconstruction_frames(num_samples) == reconstruction


def test_resampled_length_is_exact_for_lengths_that_floats_cannot_hold() -> None:
    num_samples = 2**53 + 1
    assert frames.resampled_length(num_samples, 1, 3) == 3 * num_samples
    assert frames.resampled_length(11, 11_025, 24_000) == 24


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(UsageError, match="but is -1"):
        frames.num_reasoning_frames(-1)
