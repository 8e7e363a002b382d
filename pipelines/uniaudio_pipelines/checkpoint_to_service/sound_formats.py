"""Audio of an answer as a file: WAV, PCM, FLAC, MP3, Opus or AAC of `[N]` float32 mono at 24 kHz. Needs no torch."""

import io
import struct
from typing import Any

import numpy as np

from uniaudio.audio.frames import SAMPLE_RATE

TYPES = {
    "wav": "audio/wav",
    "pcm": f"audio/L16; rate={SAMPLE_RATE}; channels=1",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
}
"""Format of an answer -> its media type. PCM is 16 bits, little-endian, mono at 24 kHz, as OpenAI's."""
STREAMED = ("wav", "pcm")
"""Formats whose beginning does not depend on their end."""
_CODECS = {"flac": ("flac", "flac"), "mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus"), "aac": ("adts", "aac")}
_FULL_SCALE = 32_767
_UNKNOWN = 0xFFFFFFFF
"""Length of a WAV file that is still being written."""


def pcm(samples: np.ndarray) -> bytes:
    """16 bits, little-endian."""
    scaled: np.ndarray = np.rint(np.clip(samples, -1, 1) * _FULL_SCALE)
    return scaled.astype("<i2").tobytes()


def wav_header(num_bytes: int = _UNKNOWN) -> bytes:
    """The header of 16 bits mono at 24 kHz; without a length for a stream."""
    whole = _UNKNOWN if num_bytes == _UNKNOWN else 36 + num_bytes
    header = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", whole, b"WAVE", b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16
    )
    return header + struct.pack("<4sI", b"data", num_bytes)


def wav(samples: np.ndarray) -> bytes:
    """A whole WAV file."""
    data = pcm(samples)
    return wav_header(len(data)) + data


def encode(samples: np.ndarray, form: str) -> bytes:
    """A whole clip in a format of `TYPES`."""
    if form == "pcm":
        return pcm(samples)
    if form == "wav":
        return wav(samples)
    return _encode(samples, *_CODECS[form])


def _encode(samples: np.ndarray, container: str, codec: str) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=SAMPLE_RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm(samples), "<i2")[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for part in (frame, None):
            file.mux(stream.encode(part))
    return buffer.getvalue()
