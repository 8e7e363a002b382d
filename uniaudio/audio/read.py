"""Read and write audio files: `[C, N]` float32 in, FLAC out.

Reads   any of the formats of `container.FORMATS`, recognized by its contents, from its first sample to its last
Gives   samples, and what was wrong with a file that could be read all the same:
        `Problem(kind="longer_than_header", detail="89856 samples, the header says 63592")`

| format | decoder | why |
|---|---|---|
| WAV, AIFF, AU, CAF, W64, SPHERE | libsndfile | exact; it gets a header that is written anew, because it believes sizes |
| Ogg Vorbis and Opus | libsndfile, link by link | exact to the sample; FFmpeg loses a block where streams are chained |
| MP1, MP2, MP3 | FFmpeg, on counted frames | libsndfile stops at an estimate of the length |
| FLAC | FFmpeg to the end, libsndfile for a cut | libsndfile needs the header's length, and seeks by it |
| AAC, MP4, Matroska, WMA, AMR, AC-3, WavPack, TTA, APE, AVI, G.722, GSM | FFmpeg | libsndfile does not know them |

Bad input is a `DataError` that names the file: nothing in it, cut short, not a number, no channel, a rate nobody records
at, a rate or a number of channels that changes. What was decoded is compared with what the file promises.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.extras import optional_packages

from uniaudio.audio.container import audio_suffixes, lay_out
from uniaudio.audio.decoders import AudioInfo, FFmpegDecoder, SoundFileDecoder
from uniaudio.audio.part import MAX_MISSING_EXACT, Layout, Part
from uniaudio.audio.problem import Problem

__all__ = ["Audio", "AudioInfo", "Problem", "audio_suffixes", "probe", "read_audio", "read_blocks", "write_flac_bytes"]

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; telephony is 8,000, the fastest converters sold 768,000
MAX_CHANNELS = 256
"""An ambisonic recording of order 15, the largest that anybody stores."""
_BLOCK = 1 << 20
"""Numbers of a block, all channels together: 4 MiB."""
_MAX_MISSING = 0.1
"""Share of a lossy file's samples that may be missing, at least one second. That its bytes are whole is checked before, and
recorders leave pauses out. More than this is no pause.
"""
Source = str | Path | bytes
_Decoder = SoundFileDecoder | FFmpegDecoder


@dataclass(frozen=True, kw_only=True, slots=True)
class Audio:
    samples: np.ndarray
    """`[C, N]` float32, full scale is 1."""
    sample_rate: int
    """Hz."""


def read_audio(
    source: Source,
    *,
    suffix: str | None = None,
    name: str | None = None,
    first_sample: int = 0,
    num_samples: int | None = None,
    problems: list[Problem] | None = None,
) -> Audio:
    """The whole file, or `num_samples` from `first_sample` (at the file's own rate). `suffix` and `name` describe
    `bytes`, which have no name. What is found wrong on the way is appended to `problems`.
    """
    name = name or _name(source)
    if first_sample < 0 or (num_samples is not None and num_samples <= 0):
        raise UsageError(f"A cut must start at 0 or later and be longer than 0, but is {first_sample} + {num_samples}.")
    new_problems = list[Problem]()
    cut = (first_sample, num_samples)
    if cut == (0, None):
        audio = _read_cut(source, suffix, name, cut, new_problems, whole=True)
    else:
        try:
            audio = _read_cut(source, suffix, name, cut, new_problems, whole=False)
        except DataError:  # the header may be wrong: what is there decides
            audio = _read_cut(source, suffix, name, cut, new_problems := [], whole=True)
    if problems is not None:
        problems += new_problems
    return audio


def read_blocks(
    source: Source,
    block_samples: int | None = None,
    *,
    suffix: str | None = None,
    name: str | None = None,
    problems: list[Problem] | None = None,
) -> Iterator[np.ndarray]:
    """The file as `[C, block_samples]` float32 blocks (the last one shorter): memory does not grow with the file, nor with
    the number of channels where `block_samples` is not given. When the last block has been taken, what was found wrong is
    in `problems`.
    """
    if block_samples is not None and block_samples <= 0:
        raise UsageError(f"`block_samples` must be positive, but is {block_samples}.")
    with _open(source, suffix, name or _name(source), whole=True) as reader:
        size = block_samples or max(1, _BLOCK // reader.info.channels)
        yield from _even(reader.blocks(size, 0), size)
        if problems is not None:
            problems += reader.problems


def probe(source: Source, *, suffix: str | None = None, name: str | None = None) -> AudioInfo:
    """What the header says, and where it cannot be believed the headers of frames, without decoding more than one."""
    with _open(source, suffix, name or _name(source), whole=False) as reader:
        return reader.info


def write_flac_bytes(samples: np.ndarray, sample_rate: int, *, bits: int = 16) -> bytes:
    """`[C, N]` or `[N]` float -> FLAC. Values beyond full scale are clipped; reading gives back exactly `round(x *
    2^(bits-1)) / 2^(bits-1)`.
    """
    with optional_packages():
        import soundfile

    samples = np.atleast_2d(np.asarray(samples))
    if bits not in (16, 24):
        raise UsageError(f"`bits` must be 16 or 24, but is {bits}.")
    if samples.ndim != 2 or not 1 <= samples.shape[0] <= 8:
        raise UsageError(f"`samples` must be [C, N] with 1 to 8 channels, but is {samples.shape}.")
    if not np.isfinite(samples).all():
        raise UsageError("`samples` must be finite, but holds NaN or infinity.")
    # Scaled here: libsndfile multiplies by 2^15 - 1 but divides by 2^15, so its own round trip changes samples.
    limit = 1 << (bits - 1)
    integers = np.clip(np.rint(samples.astype(np.float64) * limit), -limit, limit - 1).astype(np.int32) << (32 - bits)
    buffer = io.BytesIO()
    soundfile.write(buffer, integers.T, sample_rate, format="FLAC", subtype=f"PCM_{bits}")
    return buffer.getvalue()


def _name(source: Source) -> str:
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source)


def _read_cut(
    source: Source,
    suffix: str | None,
    name: str,
    cut: tuple[int, int | None],
    problems: list[Problem],
    *,
    whole: bool,
) -> Audio:
    first_sample, num_samples = cut
    with _open(source, suffix, name, whole=whole) as reader:
        size = max(1, _BLOCK // reader.info.channels)
        blocks = list(_cut(reader.blocks(min(size, num_samples or size), first_sample), num_samples))
        samples = np.concatenate(blocks, axis=1) if blocks else np.zeros((reader.info.channels, 0), np.float32)
    if samples.shape[1] == 0:
        raise DataError(f"{name}: holds no samples{f' from sample {first_sample}' if first_sample else ''}.")
    if num_samples is not None and samples.shape[1] < num_samples:
        raise DataError(
            f"{name}: ends {num_samples - samples.shape[1]} samples before the end "
            f"of the cut {first_sample} + {num_samples}."
        )
    problems += reader.problems
    return Audio(samples=samples, sample_rate=reader.info.sample_rate)


def _cut(blocks: Iterator[np.ndarray], num_samples: int | None) -> Iterator[np.ndarray]:
    num_left = num_samples
    for block in blocks:
        yield block if num_left is None else block[:, :num_left]
        num_left = None if num_left is None else num_left - block.shape[1]
        if num_left is not None and num_left <= 0:
            return


def _even(blocks: Iterator[np.ndarray], block_samples: int) -> Iterator[np.ndarray]:
    parts, num_waiting = list[np.ndarray](), 0
    for block in blocks:
        parts.append(block)
        num_waiting += block.shape[1]
        if num_waiting < block_samples:
            continue
        waiting = np.concatenate(parts, axis=1) if len(parts) > 1 else block
        num_even = num_waiting // block_samples * block_samples
        for first in range(0, num_even, block_samples):
            yield waiting[:, first : first + block_samples]
        # A copy: a view would keep the whole of `waiting`.
        parts, num_waiting = [waiting[:, num_even:].copy()], num_waiting - num_even
    if num_waiting:
        yield np.concatenate(parts, axis=1)


class _Reader:
    """The parts of a file, one behind the other, as one."""

    def __init__(self, file: Any, layout: Layout, name: str) -> None:
        self._file, self._parts, self._name = file, layout.parts, name
        self.problems = layout.problems
        self._decoder = self._open_part(0)
        self.info = self._checked(self._decoder.info)

    def blocks(self, block_samples: int, first_sample: int) -> Iterator[np.ndarray]:
        """The samples from `first_sample` on, in blocks."""
        start = 0
        for index in range(len(self._parts)):
            if index:
                self._decoder = self._open_part(index)
                self._compare(self._decoder.info, start)
            part = self._parts[index]
            # A later part cannot be sought in: how long those before it are is known when they have been decoded.
            seekable = len(self._parts) == 1
            position = first_sample if seekable else 0
            for block in self._decoder.blocks(block_samples, position):
                position += block.shape[1]
                if seekable or start + position > first_sample:
                    before = max(0, first_sample - (start + position - block.shape[1]))
                    yield block if seekable else block[:, before:]
            self._check_length(part, position)
            start += position

    def close(self) -> None:
        self._decoder.close()

    def _open_part(self, index: int) -> _Decoder:
        if index:
            self._decoder.close()
        part = self._parts[index]
        if part.demuxer is None:
            try:
                return SoundFileDecoder(self._file, part, self._name)
            except DataError:
                if part.fallback is None:
                    raise
            part = self._parts[index] = replace(part, demuxer=part.fallback, is_exact=False)
        return FFmpegDecoder(self._file, part, self._name)

    def _check_length(self, part: Part, num_samples: int) -> None:
        self.problems += self._decoder.problems
        promised = self._decoder.info.num_samples
        if promised is None:
            return
        num_missing = promised - num_samples
        max_missing = max(self.info.sample_rate, promised * _MAX_MISSING)
        if num_missing > (promised * MAX_MISSING_EXACT if part.is_exact else max_missing):
            raise DataError(f"{self._name}: is cut short: {num_samples} of {promised} samples.")
        if abs(num_missing) > self._decoder.largest_frame * (not part.is_exact):
            kind = "shorter_than_header" if num_missing > 0 else "longer_than_header"
            detail = f"{num_samples} samples, the header says {promised}"
            self.problems.append(Problem(kind=kind, detail=detail))

    def _checked(self, info: AudioInfo) -> AudioInfo:
        if not 1 <= info.channels <= MAX_CHANNELS:
            raise DataError(f"{self._name}: must have 1 to {MAX_CHANNELS} audio channels, but has {info.channels}.")
        if not MIN_RATE <= info.sample_rate <= MAX_RATE:
            raise DataError(
                f"{self._name}: its sample rate must be {MIN_RATE} to {MAX_RATE} Hz, but is {info.sample_rate}."
            )
        return replace(info, num_samples=None) if len(self._parts) > 1 else info

    def _compare(self, info: AudioInfo, start: int) -> None:
        expected, actual = (self.info.sample_rate, self.info.channels), (info.sample_rate, info.channels)
        if actual != expected:
            raise DataError(
                f"{self._name}: must keep its {expected[0]} Hz and {expected[1]} channels, but has {actual[0]} Hz and "
                f"{actual[1]} channels from sample {start} on."
            )


@contextmanager
def _open(source: Source, suffix: str | None, name: str, *, whole: bool) -> Iterator[_Reader]:
    with _stream(source, name) as file:
        _, layout = lay_out(file, name, (suffix or Path(name).suffix).lower(), whole=whole)
        reader = _Reader(file, layout, name)
        try:
            yield reader
        finally:
            reader.close()


def _stream(source: Source, name: str) -> Any:
    try:
        stream: Any = io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")  # noqa: SIM115
    except OSError as error:
        raise DataError(f"{name}: cannot be opened: {error.strerror}.") from error
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if size == 0:
        stream.close()
        raise DataError(f"{name}: is empty (0 bytes).")
    return stream
