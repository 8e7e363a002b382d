"""The two decoders behind `read`: libsndfile and FFmpeg. Both give `[C, n]` float32 blocks and name the file in every
error.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError

DEMUXERS = {
    ".g722": "g722",
    ".aac": "aac",
    ".m4a": "mov",
    ".mp4": "mov",
    ".m4b": "mov",
    ".mov": "mov",
    ".3gp": "mov",
    ".wma": "asf",
    ".amr": "amr",
    ".ac3": "ac3",
    ".mka": "matroska",
    ".mkv": "matroska",
    ".webm": "matroska",
    ".gsm": "gsm",
    ".wv": "wv",
    ".tta": "tta",
    ".ape": "ape",
}
"""FFmpeg's demuxer by lower-case suffix: the formats libsndfile does not read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioInfo:
    sample_rate: int
    """Hz."""
    channels: int
    num_samples: int | None
    """Samples a channel; None where the container does not say (raw streams)."""
    format: str
    """The decoder's name for it, such as `FLAC/PCM_16` or `g722`."""


def _finite(block: np.ndarray, first: int, name: str) -> np.ndarray:
    if not np.isfinite(block).all():
        where = first + int(np.argmin(np.isfinite(block).all(axis=0)))
        raise DataError(f"{name}: sample {where} must be a finite number, but is NaN or infinite.")
    return block


class SoundFileDecoder:
    def __init__(self, stream: Any, name: str) -> None:
        import soundfile

        self._name, self._error = name, soundfile.LibsndfileError
        _refuse_short_riff(stream, name)
        try:
            self._file = soundfile.SoundFile(_Unnamed(stream))
        except (self._error, TypeError) as error:
            # The library puts the object that it read from in front of its reason.
            reason = str(error).rpartition(">: ")[2]
            raise DataError(f"{name}: is not an audio file that can be read: {reason}") from error
        file = self._file
        num_samples = file.frames if 0 <= file.frames < 1 << 62 else None
        self.info = AudioInfo(
            sample_rate=file.samplerate,
            channels=file.channels,
            num_samples=num_samples,
            format=f"{file.format}/{file.subtype}",
        )

    def blocks(self, block_samples: int, first_sample: int) -> Iterator[np.ndarray]:
        position = first_sample
        try:
            if first_sample:
                self._file.seek(min(first_sample, self._file.frames))
            while True:
                block = self._file.read(block_samples, dtype="float32", always_2d=True).T
                if not block.shape[1]:
                    break
                yield _finite(np.ascontiguousarray(block), position, self._name)
                position += block.shape[1]
        except self._error as error:
            raise DataError(f"{self._name}: is broken after sample {position}: {error}") from error
        # Without a Xing header the length of an MP3 is an estimate from its bit rate (up to 1 % too long here).
        expected = None if self._file.subtype.startswith("MPEG") else self.info.num_samples
        if expected is not None and position < expected:
            raise DataError(f"{self._name}: is cut short: {position} of {expected} samples.")

    def close(self) -> None:
        self._file.close()


class _Unnamed(io.RawIOBase):
    """A stream without `name`: soundfile would take the format from a name such as `x.raw` instead of from the
    contents.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def readinto(self, buffer: Any) -> int:
        return int(self._stream.readinto(buffer))


def _refuse_short_riff(stream: Any, name: str) -> None:
    """libsndfile silently shortens a WAV whose data chunk promises more bytes than the file has; 0 and 2^32-1 mean
    "not known".
    """
    try:
        header = stream.read(12)
        if header[:4] != b"RIFF" or header[8:] != b"WAVE":
            return
        while len(chunk := stream.read(8)) == 8:
            kind, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
            if kind == b"data":
                start = stream.tell()
                present = stream.seek(0, io.SEEK_END) - start
                if present < size < 0xFFFF_FF00:
                    raise DataError(f"{name}: is cut short: {present} of {size} bytes of samples.")
                return
            stream.seek(size + size % 2, io.SEEK_CUR)
    finally:
        stream.seek(0)


class FFmpegDecoder:
    def __init__(self, stream: Any, demuxer: str, name: str) -> None:
        import av

        self._name, self._av = name, av
        try:
            self._container = av.open(stream, format=demuxer, options={"protocol_whitelist": "none"})
        except (av.FFmpegError, ValueError) as error:
            raise DataError(f"{name}: is not {demuxer} audio that can be read: {error}") from error
        if not self._container.streams.audio:
            self._container.close()
            raise DataError(f"{name}: has no audio stream.")
        self._stream = self._container.streams.audio[0]
        context = self._stream.codec_context
        rate = context.sample_rate or 0
        known = self._stream.duration if rate and self._stream.time_base == Fraction(1, rate) else None
        self.info = AudioInfo(sample_rate=rate, channels=context.channels or 0, num_samples=known, format=context.name)

    def blocks(self, block_samples: int, first_sample: int) -> Iterator[np.ndarray]:
        resampler = self._av.AudioResampler(
            format="fltp", layout=self._stream.codec_context.layout.name, rate=self.info.sample_rate
        )
        position = 0
        try:
            for frame in self._container.decode(self._stream):
                for part in resampler.resample(frame):
                    block = _finite(part.to_ndarray(), position, self._name)
                    position += block.shape[1]
                    if position > first_sample:
                        yield np.ascontiguousarray(block[:, max(0, first_sample - (position - block.shape[1])) :])
        except self._av.FFmpegError as error:
            raise DataError(f"{self._name}: is broken after sample {position}: {error}") from error
        expected = self.info.num_samples
        if (
            expected is not None and position + self.info.sample_rate < expected
        ):  # a second of slack: encoders count their own delay
            raise DataError(f"{self._name}: is cut short: {position} of {expected} samples.")

    def close(self) -> None:
        self._container.close()
