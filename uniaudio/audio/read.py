"""Read and write audio files: `[C, N]` float32 in, FLAC out.

libsndfile (soundfile) reads WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF, AU; FFmpeg (PyAV) what it does not know: raw
G.722, AAC, M4A, WMA, AMR, Matroska. FFmpeg gets its demuxer from the name's suffix and never guesses it, because a
guessed playlist format would open other files. Bad input is a `DataError` that names the file: nothing in it, cut
short, not a number, no channel, a rate nobody records at.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.audio.decoders import DEMUXERS, AudioInfo, FFmpegDecoder, SoundFileDecoder

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; telephony is 8,000, the fastest converters sold 768,000
_BLOCK = 1 << 20
_SOUNDFILE_SUFFIXES = ".wav .flac .ogg .oga .opus .mp3 .aif .aiff .au .snd .w64 .caf .rf64"
Source = str | Path | bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Audio:
    samples: np.ndarray
    """`[C, N]` float32, full scale is 1."""
    sample_rate: int
    """Hz."""


def audio_suffixes() -> frozenset[str]:
    """Lower-case suffixes this module reads."""
    return frozenset(DEMUXERS) | frozenset(_SOUNDFILE_SUFFIXES.split())


def read_audio(
    source: Source,
    *,
    suffix: str | None = None,
    name: str | None = None,
    first_sample: int = 0,
    num_samples: int | None = None,
) -> Audio:
    """The whole file, or `num_samples` from `first_sample` (at the file's own rate). `suffix` and `name` describe
    `bytes`, which have no name.
    """
    name = name or _name(source)
    if first_sample < 0 or (num_samples is not None and num_samples <= 0):
        raise UsageError(f"A cut must start at 0 or later and be longer than 0, but is {first_sample} + {num_samples}.")
    with _open(source, suffix, name) as reader:
        blocks = list(_cut(reader.blocks(min(_BLOCK, num_samples or _BLOCK), first_sample), num_samples))
    samples = np.concatenate(blocks, axis=1) if blocks else np.zeros((reader.info.channels, 0), np.float32)
    if samples.shape[1] == 0:
        raise DataError(f"{name}: holds no samples{f' from sample {first_sample}' if first_sample else ''}.")
    if num_samples is not None and samples.shape[1] < num_samples:
        raise DataError(
            f"{name}: ends {num_samples - samples.shape[1]} samples before the end "
            f"of the cut {first_sample} + {num_samples}."
        )
    return Audio(samples=samples, sample_rate=reader.info.sample_rate)


def read_blocks(
    source: Source, block_samples: int = _BLOCK, *, suffix: str | None = None, name: str | None = None
) -> Iterator[np.ndarray]:
    """The file as `[C, block_samples]` float32 blocks (the last one shorter): memory does not grow with the file."""
    if block_samples <= 0:
        raise UsageError(f"`block_samples` must be positive, but is {block_samples}.")
    with _open(source, suffix, name or _name(source)) as reader:
        yield from _even(reader.blocks(block_samples, 0), block_samples)


def probe(source: Source, *, suffix: str | None = None, name: str | None = None) -> AudioInfo:
    """What the header says, without decoding."""
    with _open(source, suffix, name or _name(source)) as reader:
        return reader.info


def write_flac_bytes(samples: np.ndarray, sample_rate: int, *, bits: int = 16) -> bytes:
    """`[C, N]` or `[N]` float -> FLAC. Values beyond full scale are clipped; reading gives back exactly `round(x *
    2^(bits-1)) / 2^(bits-1)`.
    """
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


def _cut(blocks: Iterator[np.ndarray], num_samples: int | None) -> Iterator[np.ndarray]:
    left = num_samples
    for block in blocks:
        yield block if left is None else block[:, :left]
        left = None if left is None else left - block.shape[1]
        if left is not None and left <= 0:
            return


def _even(blocks: Iterator[np.ndarray], block_samples: int) -> Iterator[np.ndarray]:
    rest: np.ndarray | None = None
    for block in blocks:
        rest = block if rest is None or not rest.shape[1] else np.concatenate([rest, block], axis=1)
        while rest.shape[1] >= block_samples:
            yield rest[:, :block_samples]
            rest = rest[:, block_samples:]
    if rest is not None and rest.shape[1]:
        yield rest


@contextmanager
def _open(source: Source, suffix: str | None, name: str) -> "Iterator[SoundFileDecoder | FFmpegDecoder]":
    stream = _stream(source, name)
    suffix = (suffix or Path(name).suffix).lower()
    with stream:
        reader: SoundFileDecoder | FFmpegDecoder
        reader = FFmpegDecoder(stream, DEMUXERS[suffix], name) if suffix in DEMUXERS else SoundFileDecoder(stream, name)
        info = reader.info
        if info.channels < 1:
            raise DataError(f"{name}: has no audio channel.")
        if not MIN_RATE <= info.sample_rate <= MAX_RATE:
            raise DataError(f"{name}: its sample rate must be {MIN_RATE} to {MAX_RATE} Hz, but is {info.sample_rate}.")
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
