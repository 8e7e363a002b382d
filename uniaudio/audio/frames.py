"""Sample and frame arithmetic, once: integers in, integers out.

At 24 kHz one reasoning frame is 4,800 samples (5 Hz), one reconstruction frame 1,920 (12.5 Hz), and 9,600 samples
(0.4 s) is the smallest unit that holds whole frames of both. A clip that does not fill its last frame still has it:
counts round up.
"""

from uniaudio_schemas.errors import UsageError

SAMPLE_RATE = 24_000
"""Hz; the only rate inside the codec and the language model."""
REASONING_HOP = 4_800
"""Samples a reasoning frame (5 Hz)."""
RECONSTRUCTION_HOP = 1_920
"""Samples a reconstruction frame (12.5 Hz)."""
UNIT = 9_600
"""Samples (0.4 s): least common multiple of both hops."""


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _not_negative(num_samples: int) -> int:
    if num_samples < 0:
        raise UsageError(f"`num_samples` must be 0 or more, but is {num_samples}.")
    return num_samples


def num_reasoning_frames(num_samples: int) -> int:
    """Reasoning frames of a clip of `num_samples` at 24 kHz: `ceil(num_samples / 4800)`."""
    return _ceil_div(_not_negative(num_samples), REASONING_HOP)


def num_reconstruction_frames(num_samples: int) -> int:
    """Reconstruction frames of a clip of `num_samples` at 24 kHz: `ceil(num_samples / 1920)`."""
    return _ceil_div(_not_negative(num_samples), RECONSTRUCTION_HOP)


def padded_length(num_samples: int) -> int:
    """The smallest multiple of `UNIT` that holds the clip: a function of the clip's own length only."""
    return _ceil_div(_not_negative(num_samples), UNIT) * UNIT


def resampled_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Samples after resampling `num_samples` from `from_rate` to `to_rate` (Hz): `ceil(num_samples * to_rate /
    from_rate)`.
    """
    if from_rate <= 0 or to_rate <= 0:
        raise UsageError(f"Sample rates must be positive, but are {from_rate} and {to_rate}.")
    return _ceil_div(_not_negative(num_samples) * to_rate, from_rate)
