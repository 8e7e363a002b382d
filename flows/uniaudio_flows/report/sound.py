"""A passage of a clip as the page shows it: to play, as a waveform, as a spectrogram.

Reads    the FLAC of a raw clip in its tar
Gives    data URIs, and where the marks of the axes are
"""

import base64
import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Store

from uniaudio.audio.splice import Splice

MAX_PASSAGE_S = 10.0
MAX_FLAC_BYTES = 180_000
"""24 of them are 4.3 MB, and 5.8 MB as base64; larger passages are Vorbis, which a second takes about 10 kB of."""
_COLUMNS, _ROWS = 600, 128
"""Pixels of a spectrogram, at most and exactly."""
_RANGE_DB = 80.0
_SHADES = 64
_WINDOW_S = 0.032
_ENVELOPE_COLUMNS = 400
_BLOCK_SAMPLES = 1 << 16
"""libsndfile writes Vorbis from its stack; whole clips at once overflow it."""
# Dark violet over red to light yellow: even steps of lightness, told apart by all kinds of colour sight.
_COLORS = ((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164))  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    percent: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    seconds: float
    """Length of the passage that is played and shown."""
    source: str
    """Data URI."""
    codec: str
    picture: str
    """Data URI of the spectrogram."""
    low_db: int
    high_db: int
    """What the darkest and the lightest colour mean, in dB below a sine of full scale."""
    peak: float
    envelope: str
    """Points of a polygon, 400 wide and 100 high."""
    seconds_ticks: list[Tick]
    khz_ticks: list[Tick]


def passage(store: Store, raw: Raw, first_sample: int, num_samples: int) -> Sound:
    """Sound of at most 10 s from `first_sample`. `DataError` where the audio cannot be read."""
    samples = read_mono(store, raw, first_sample, min(num_samples, round(MAX_PASSAGE_S * raw.sample_rate)))
    data, mime = encode(samples, raw.sample_rate)
    levels_db = spectrogram_db(samples, raw.sample_rate)
    high_db = float(levels_db.max())
    seconds = len(samples) / raw.sample_rate
    peak = float(np.abs(samples).max())
    return Sound(
        seconds=seconds,
        source=_data_uri(mime, data),
        codec="FLAC" if mime == "audio/flac" else "Vorbis",
        picture=picture(levels_db),
        low_db=round(high_db - _RANGE_DB),
        high_db=round(high_db),
        peak=peak,
        envelope=envelope(samples, peak),
        seconds_ticks=ticks(seconds, (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0), 10),
        khz_ticks=ticks(raw.sample_rate / 2000, (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0), 5),
    )


def read_mono(store: Store, raw: Raw, first_sample: int, num_samples: int) -> np.ndarray:
    """`[N]` float32 at the clip's own rate: the channel it is heard by, or the mean of all."""
    import soundfile

    with store.open_blob(raw.tar).open("rb") as tar:
        stream = Splice(tar, [(raw.tar_offset, raw.tar_offset + raw.tar_size)])
        try:
            with soundfile.SoundFile(stream) as file:
                file.seek(first_sample)
                samples_NC = file.read(num_samples, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, TypeError) as error:
            raise DataError(f"{raw.path}: its audio in {raw.tar} cannot be read: {error}") from error
    if len(samples_NC) == 0:
        raise DataError(f"{raw.path}: has no samples from {first_sample} on.")
    mono_N: np.ndarray = samples_NC.mean(axis=1) if raw.mono_channel is None else samples_NC[:, raw.mono_channel]
    return mono_N


def encode(samples: np.ndarray, sample_rate: int) -> tuple[bytes, str]:
    """Bytes that browsers play, and their type: FLAC of 16 bits, or Vorbis where that is too large."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="FLAC", subtype="PCM_16")
    # Its position is no measure: libsndfile goes back to write the header.
    if len(file.getvalue()) <= MAX_FLAC_BYTES:
        return file.getvalue(), "audio/flac"
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", sample_rate, 1, format="OGG", subtype="VORBIS") as writer:
        for first in range(0, len(samples), _BLOCK_SAMPLES):
            writer.write(samples[first : first + _BLOCK_SAMPLES])
    return file.getvalue(), "audio/ogg"


def spectrogram_db(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """`[128, columns]` float64, low frequencies first: dB below a sine of full scale, in windows of about 32 ms (Hann)."""
    window_samples = 2 * _ROWS * 2 ** max(0, round(np.log2(_WINDOW_S * sample_rate / (2 * _ROWS))))
    hop_samples = max(window_samples // 8, -(-len(samples) // _COLUMNS))
    window = np.hanning(window_samples)
    padded = np.pad(samples.astype(np.float64), window_samples // 2)
    starts = np.arange(0, len(samples), hop_samples)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window_samples)[starts]
    power = np.abs(np.fft.rfft(frames * window, axis=1) / (window.sum() / 2)) ** 2
    rows = power[:, 1:].reshape(len(starts), _ROWS, -1).max(axis=2).T
    levels_db: np.ndarray = 10 * np.log10(np.maximum(rows, 1e-12))
    return levels_db


def envelope(samples: np.ndarray, peak: float) -> str:
    """The largest and smallest sample of each column, as points of a polygon: `0,50 1,20 … 1,80 0,50`."""
    edges = np.linspace(0, len(samples), min(_ENVELOPE_COLUMNS, len(samples)) + 1).astype(int)[:-1]
    tops, bottoms = np.maximum.reduceat(samples, edges), np.minimum.reduceat(samples, edges)
    x = np.linspace(0, _ENVELOPE_COLUMNS, len(edges))
    scale = 50 / max(peak, 1e-9)
    there = [f"{a:.0f},{50 - scale * b:.1f}" for a, b in zip(x, tops, strict=True)]
    back = [f"{a:.0f},{50.5 - scale * b:.1f}" for a, b in zip(x[::-1], bottoms[::-1], strict=True)]
    return " ".join([*there, *back])


def ticks(end: float, steps: tuple[float, ...], most: int) -> list[Tick]:
    """Round marks from 0 to `end`, at most `most` of them."""
    step = next((step for step in steps if end / step < most), end)
    # At the very end a label would stand outside.
    return [Tick(percent=100 * i * step / end, label=f"{i * step:.3g}") for i in range(most) if i * step <= 0.97 * end]


def png(shades: np.ndarray) -> bytes:
    """`[height, width]` uint8, first row on top, values below 64 -> a PNG with a palette."""
    height, width = shades.shape
    # PNG (ISO 15948): 8 bits, colour type 3 (palette), no interlace; each line begins with its filter, 0.
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    lines = np.pad(shades, ((0, 0), (1, 0))).tobytes()
    anchors = np.linspace(0, _SHADES - 1, len(_COLORS))
    palette = np.stack([np.interp(np.arange(_SHADES), anchors, channel) for channel in zip(*_COLORS, strict=True)], 1)
    chunks = ((b"IHDR", header), (b"PLTE", palette.round().astype(np.uint8).tobytes()), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _shades(levels_db: np.ndarray, high_db: float) -> np.ndarray:
    share = np.clip((levels_db - high_db) / _RANGE_DB + 1, 0, 1)
    return (share[::-1] * (_SHADES - 1)).round().astype(np.uint8)


def picture(levels_db: np.ndarray) -> str:
    """Data URI of what `spectrogram_db` gives, 80 dB from its loudest point down."""
    return _data_uri("image/png", png(_shades(levels_db, float(levels_db.max()))))


def _data_uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
