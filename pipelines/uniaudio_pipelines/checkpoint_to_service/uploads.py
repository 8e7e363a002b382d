"""Audio of a request: bytes of any format in, `[N]` float32 mono at 24 kHz out."""

from pathlib import PurePath

import numpy as np
from uniaudio_schemas.errors import DataError

from uniaudio.audio.levels import Levels, mono_channel
from uniaudio.audio.read import Audio, probe, read_blocks
from uniaudio.audio.render import to_mono_24k
from uniaudio_pipelines.checkpoint_to_service.asked import TooLargeError

MOST_VALUES_A_SECOND = 2 * 192_000
"""Samples of all channels: stereo at 192 kHz, or 16 channels at 24 kHz."""


def read_upload(data: bytes, name: str, *, most_s: float) -> np.ndarray:
    """`[N]` float32 mono at 24 kHz of an uploaded file, known by its contents. DataError where it is no audio, `TooLargeError` where
    it is longer than `most_s`.
    """
    shown, suffix = PurePath(name).name or "audio", PurePath(name).suffix or None
    rate = probe(data, suffix=suffix, name=shown).sample_rate
    levels, blocks, num_samples, num_values = Levels(), [], 0, 0
    most_values = int(most_s * MOST_VALUES_A_SECOND)
    # Block by block: a small file may hold hours of silence, or 256 channels of it.
    for block in read_blocks(data, suffix=suffix, name=shown):
        levels.add(block)
        blocks.append(block)
        num_samples, num_values = num_samples + block.shape[1], num_values + block.size
        if num_samples > most_s * rate:
            raise TooLargeError(f"The audio of a request must be {most_s:g} seconds at most, but {shown} is longer.")
        if num_values > most_values:
            raise TooLargeError(
                f"{shown} must hold {most_values} samples at most, all channels together, but holds more."
            )
    if not num_samples:
        raise DataError(f"{shown}: must hold a sample or more, but holds none.")
    audio = Audio(samples=np.concatenate(blocks, axis=1), sample_rate=rate)
    return to_mono_24k(audio, mono_channel(levels))
