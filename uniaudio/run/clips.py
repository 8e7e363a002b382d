"""Clips in and out of the command line and of `UniAudio`: any audio file or samples in, WAV or FLAC out.

`[N]` float32 mono at 24 kHz inside.
"""

import io
import wave
from pathlib import Path

import numpy as np
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.read import audio_suffixes, read_audio, write_flac_bytes
from uniaudio.audio.render import to_mono_24k
from uniaudio.run.request import Audio

_FULL_SCALE = 32_767
"""Of 16 bits."""


def read_clip(clip: Audio) -> np.ndarray:
    """`[N]` float32 mono at 24 kHz; samples are taken as such."""
    if isinstance(clip, np.ndarray):
        return clip
    path = Path(clip)
    if path.is_dir() or path.suffix.lower() not in audio_suffixes():
        raise UsageError(f"{path}: must be an audio file, such as .wav, .flac, .mp3 or .ogg, but is not.")
    return to_mono_24k(read_audio(path))


def write_clip(path: Path, samples: np.ndarray) -> None:
    """Writes 16 bits at 24 kHz, in the format of the suffix."""
    if path.suffix.lower() == ".flac":
        data = write_flac_bytes(samples, SAMPLE_RATE)
    elif path.suffix.lower() == ".wav":
        data = _wav_bytes(samples)
    else:
        raise UsageError(f"`--out` must end with .wav or .flac, but is {path}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _wav_bytes(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.rint(np.clip(samples, -1, 1) * _FULL_SCALE).astype("<i2").tobytes())
    return buffer.getvalue()
