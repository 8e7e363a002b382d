"""The two decoders behind `read`: libsndfile and FFmpeg. Both give `[C, n]` float32 blocks, take a part of a file as a
stream of its own, and name the file in every error.

libsndfile reads raw samples in any header, and Ogg Vorbis and Opus, all of them exactly; FFmpeg everything else, with the
demuxer that it is told. It opens no other file: no protocol is allowed to it, and no demuxer of playlists is ever named.
"""

import io
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.extras import optional_packages

from uniaudio.audio.part import Part
from uniaudio.audio.problem import Problem
from uniaudio.audio.splice import Splice

_MAX_FRAME_SAMPLES = 1 << 22
"""Samples a channel of one frame; Monkey's Audio, whose frames are the longest, has 1,179,648."""
_MAX_STREAMS = 64
_MAX_BAD_SHARE = 0.01
"""Share of a file's packets that may be undecodable. With more the file is broken."""
_MICROSECONDS = 1_000_000


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
    largest_frame = 0

    def __init__(self, file: Any, part: Part, name: str) -> None:
        with optional_packages():
            import soundfile

        self._name, self._error, self.problems = name, soundfile.LibsndfileError, list[Problem]()
        try:
            self._file = soundfile.SoundFile(Splice(file, part.pieces))
        except (self._error, TypeError) as error:
            # The library puts the object that it read from in front of its reason.
            reason = str(error).rpartition(">: ")[2] or "its header contradicts its contents"
            raise DataError(f"{name}: is not an audio file that can be read: {reason}") from error
        opened = self._file
        self.info = AudioInfo(
            sample_rate=opened.samplerate,
            channels=opened.channels,
            num_samples=opened.frames if 0 <= opened.frames < 1 << 62 else None,
            format=f"{opened.format}/{opened.subtype}",
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

    def close(self) -> None:
        self._file.close()


class FFmpegDecoder:
    def __init__(self, file: Any, part: Part, name: str) -> None:
        with optional_packages():
            import av

        self._name, self._av, self._part, self.problems = name, av, part, list[Problem]()
        self.largest_frame = self._position = self._num_packets = self._num_bad = 0
        # One thread: the order of errors, and with it what is kept, must not depend on timing.
        options = {"protocol_whitelist": "none", "threads": "1", "max_samples": str(_MAX_FRAME_SAMPLES)}
        options["max_streams"] = str(_MAX_STREAMS)
        if part.is_exact:
            options["err_detect"] = "crccheck+explode"
        try:
            self._container: Any = av.open(_Readable(Splice(file, part.pieces)), format=part.demuxer, options=options)
        except (av.FFmpegError, ValueError) as error:
            raise DataError(f"{name}: is not {part.demuxer} audio that can be read: {_reason(error)}") from error
        try:
            self._open(options)
        except BaseException:
            self._container.close()
            raise

    def _open(self, options: dict[str, str]) -> None:
        streams = self._container.streams.audio
        if not streams:
            raise DataError(f"{self._name}: has no audio stream.")
        self._stream = streams[0]
        if len(streams) > 1:
            self.problems.append(Problem(kind="other_audio_streams", detail=f"{len(streams)}, the first was read"))
        context = self._stream.codec_context
        if context is None:
            raise DataError(f"{self._name}: is coded in a way that is not known.")
        context.thread_count = 1
        context.options = {key: value for key, value in options.items() if key in ("err_detect", "max_samples")}
        self._frames = self._decode()
        # The header of AAC tells half the rate, and sometimes half the channels, of what is decoded.
        self._first = next(self._frames, None)
        if self._first is None:
            raise DataError(f"{self._name}: holds no samples that can be decoded.")
        self.info = AudioInfo(
            sample_rate=self._first.sample_rate,
            channels=self._first.layout.nb_channels,
            num_samples=self._promise(self._first.sample_rate),
            format=context.name,
        )

    def blocks(self, block_samples: int, first_sample: int) -> Iterator[np.ndarray]:
        """Blocks of the codec's own frames, whatever `block_samples` says."""
        frame, expected = self._first, (self.info.sample_rate, self.info.channels)
        while frame is not None:
            if (frame.sample_rate, frame.layout.nb_channels) != expected:
                raise DataError(
                    f"{self._name}: must keep its {expected[0]} Hz and {expected[1]} channels, but has {frame.sample_rate} "
                    f"Hz and {frame.layout.nb_channels} channels from sample {self._position} on."
                )
            block = _finite(_to_float(frame), self._position, self._name)
            first, self._position = self._position, self._position + block.shape[1]
            self.largest_frame = max(self.largest_frame, block.shape[1])
            if self._position > first_sample:
                yield np.ascontiguousarray(block[:, max(0, first_sample - first) :])
            frame = next(self._frames, None)
        if self._num_bad:
            detail = f"{self._num_bad} of {self._num_packets} packets"
            self.problems.append(Problem(kind="undecodable_frames", detail=detail))

    def _decode(self) -> Generator[Any, None, None]:
        """Decoded frames that hold samples."""
        try:
            for packet in self._container.demux(self._stream):
                self._num_packets += bool(packet.size)
                try:
                    yield from (frame for frame in packet.decode() if frame.samples)
                except self._av.FFmpegError as error:
                    self._num_bad += 1
                    if self._part.is_exact:
                        raise DataError(self._broken(error)) from error
        except self._av.FFmpegError as error:
            raise DataError(self._broken(error)) from error
        if self._num_bad > 1 + _MAX_BAD_SHARE * self._num_packets:
            raise DataError(
                f"{self._name}: is broken: {self._num_bad} of {self._num_packets} packets cannot be decoded."
            )

    def _broken(self, error: Exception) -> str:
        return f"{self._name}: is broken after sample {self._position}: {_reason(error)}"

    def _promise(self, sample_rate: int) -> int | None:
        """Samples a channel by the container."""
        if self._part.num_samples is not None or not self._part.container_promises:
            return self._part.num_samples
        of_stream, of_all = self._stream.duration, self._container.duration
        if of_stream and self._stream.time_base:
            return int(of_stream * self._stream.time_base * sample_rate)
        if not of_all:
            self.problems.append(Problem(kind="unknown_length", detail="the container does not say its length"))
            return None
        num_streams = sum(stream.type in ("audio", "video") for stream in self._container.streams)
        # Of several streams the longest counts.
        return int(Fraction(of_all, _MICROSECONDS) * sample_rate) if num_streams == 1 else None

    def close(self) -> None:
        self._frames.close()
        self._container.close()


class _Readable:
    """What PyAV needs of a stream, and no more: with `write` or a `name` it would do other things."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self.read, self.seek, self.tell = stream.read, stream.seek, stream.tell

    def seekable(self) -> bool:
        return True


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _to_float(frame: Any) -> np.ndarray:
    """`[C, n]` float32 of a frame in any of FFmpeg's formats; integers of b bits are divided by 2^(b-1)."""
    samples: np.ndarray = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype.kind == "u":
        return ((samples.astype(np.float32) - 128) / 128).astype(np.float32)
    if samples.dtype.kind == "i":
        return (samples * (0.5 ** (8 * samples.itemsize - 1))).astype(np.float32)
    return samples.astype(np.float32, copy=False)
