"""Audio of a request: bytes of any format in, `[N]` float32 mono at 24 kHz out."""

from pathlib import PurePath

import numpy as np
from uniaudio_schemas.errors import DataError

from uniaudio.audio.levels import Levels, mono_channel
from uniaudio.audio.read import Audio, probe, read_blocks
from uniaudio.audio.render import to_mono_24k
from uniaudio_pipelines.checkpoint_to_service.asked import TooLargeError


def read_upload(data: bytes, name: str, *, most_s: float) -> np.ndarray:
    """`[N]` float32 mono at 24 kHz of an uploaded file, known by its contents. DataError where it is no audio, `TooLargeError` where
    it is longer than `most_s`.
    """
    shown, suffix = PurePath(name).name or "audio", PurePath(name).suffix or None
    rate = probe(data, suffix=suffix, name=shown).sample_rate
    levels, blocks, num_samples = Levels(), [], 0
    # Block by block: a small file may hold hours of silence.
    for block in read_blocks(data, suffix=suffix, name=shown):
        levels.add(block)
        blocks.append(block)
        num_samples += block.shape[1]
        if num_samples > most_s * rate:
            raise TooLargeError(f"The audio of a request must be {most_s:g} seconds at most, but {shown} is longer.")
    if not num_samples:
        raise DataError(f"{shown}: must hold a sample or more, but holds none.")
    audio = Audio(samples=np.concatenate(blocks, axis=1), sample_rate=rate)
    return to_mono_24k(audio, mono_channel(levels))
