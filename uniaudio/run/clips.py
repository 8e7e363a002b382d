"""Clips in and out of the command line and of `UniAudio`: any audio file or samples in, WAV or FLAC out.

`[N]` float32 mono at 24 kHz inside.
"""

import io
import sys
import wave
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.levels import Levels, mono_channel
from uniaudio.audio.read import audio_suffixes, read_audio, write_flac_bytes
from uniaudio.audio.render import to_mono_24k
from uniaudio.run.request import Audio, Request

_FULL_SCALE = 32_767
"""Full scale of 16 bits."""


def read_clip(clip: Audio) -> np.ndarray:
    """`[N]` float32 mono at 24 kHz; samples are taken as such, also those of a tensor, or of several channels `[C, N]`."""
    if not isinstance(clip, str | Path):
        samples = np.asarray(clip)
        if samples.dtype.kind not in "fiu":
            raise UsageError(f"`audio` must be a file or samples at 24 kHz, but is of {type(clip).__name__}.")
        # A copy where it is reversed or read-only, which torch does not take.
        return np.require(samples, requirements=["C", "W"])
    path = Path(clip)
    if path.is_dir() or path.suffix.lower() not in audio_suffixes():
        raise UsageError(f"{path}: must be an audio file, such as .wav, .flac, .mp3 or .ogg, but is not.")
    audio = read_audio(path)
    levels = Levels()
    levels.add(audio.samples)
    return to_mono_24k(audio, mono_channel(levels))


def with_clip_read(request: Request) -> Request:
    """The request with its `audio` read into samples."""
    return request if request.audio is None else replace(request, audio=read_clip(request.audio))


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


class ClipWriter:
    """Writes a clip piece by piece: a .wav file that can be read after every piece, or raw samples to standard output where `path` is `-`."""

    def __init__(self, path: Path) -> None:
        self._wav: wave.Wave_write | None = None
        if str(path) == "-":
            if sys.stdout is None:
                raise UsageError("`--out` must be a .wav file where standard output is closed, but is -.")
            self._file: IO[bytes] = sys.stdout.buffer
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._wav = _wav_writer(self._file)

    def write(self, samples: np.ndarray) -> None:
        """Appends `[n]` float32."""
        data = _pcm_bytes(samples)
        if self._wav is None:
            self._file.write(data)
        else:
            # Mends the lengths in the header each time.
            self._wav.writeframes(data)
        self._file.flush()

    def close(self) -> None:
        if self._wav is not None:
            self._wav.close()
            self._file.close()


def _wav_bytes(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with _wav_writer(buffer) as file:
        file.writeframes(_pcm_bytes(samples))
    return buffer.getvalue()


def _wav_writer(file: IO[bytes]) -> wave.Wave_write:
    writer = wave.Wave_write(file)
    writer.setnchannels(1)
    writer.setsampwidth(2)
    writer.setframerate(SAMPLE_RATE)
    return writer


def _pcm_bytes(samples: np.ndarray) -> bytes:
    """16 bits, little-endian."""
    pcm: bytes = np.rint(np.clip(samples, -1, 1) * _FULL_SCALE).astype("<i2").tobytes()
    return pcm
