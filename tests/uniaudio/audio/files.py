"""Audio files as bytes, in every format that the installed libraries can write, and their pieces put together otherwise."""

import io
import struct
from collections.abc import Iterator
from functools import cache

import numpy as np

RATE = 16_000
NUM_SAMPLES = 20_000


def a_tone(num_samples: int = NUM_SAMPLES, sample_rate: int = RATE, channels: int = 1) -> np.ndarray:
    """`[C, N]` float32, 440 Hz in the first channel, 880 in the second, …, with noise: every part differs."""
    time = np.arange(num_samples) / sample_rate
    tone = np.stack([0.5 * np.sin(2 * np.pi * 440 * (channel + 1) * time) for channel in range(channels)])
    return (tone + 0.02 * np.random.default_rng(0).standard_normal(tone.shape)).astype("f4")


def encode(
    samples: np.ndarray,
    sample_rate: int = RATE,
    *,
    container: str,
    codec: str,
    seekable: bool = True,
    container_options: dict[str, str] | None = None,
    **more: str,
) -> bytes:
    """With FFmpeg; `seekable=False` is what it writes into a pipe. `more` are options of
    the codec."""
    import av

    buffer = io.BytesIO()
    target = buffer if seekable else _Pipe(buffer)
    with av.open(target, "w", format=container, options=container_options or {}) as output:
        layout = {1: "mono", 2: "stereo"}[samples.shape[0]]
        stream = output.add_stream(codec, rate=sample_rate, layout=layout, options=more)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.sample_rate = sample_rate
        resampler = av.AudioResampler(stream.format.name, stream.layout, sample_rate, frame_size=stream.frame_size or 0)
        for part in resampler.resample(frame) + resampler.resample(None):
            output.mux(stream.encode(part))
        output.mux([packet for packet in stream.encode(None) if packet.size])
    return buffer.getvalue()


class _Pipe:
    """A file that cannot be sought in."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self.write = buffer.write


def sound(samples: np.ndarray, sample_rate: int = RATE, *, container: str = "WAV", subtype: str | None = None) -> bytes:
    """With libsndfile."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, sample_rate, format=container, subtype=subtype)
    return buffer.getvalue()


@cache
def every_format() -> dict[str, bytes]:
    """By suffix the same tone; the suffix says the format."""
    tone = a_tone()
    return {
        ".wav": sound(tone, subtype="PCM_16"),
        ".rf64": sound(tone, container="RF64", subtype="PCM_16"),
        ".w64": sound(tone, container="W64", subtype="PCM_16"),
        ".aiff": sound(tone, container="AIFF", subtype="PCM_16"),
        ".au": sound(tone, container="AU", subtype="PCM_16"),
        ".caf": sound(tone, container="CAF", subtype="PCM_16"),
        ".sph": sphere(tone),
        ".flac": sound(tone, container="FLAC", subtype="PCM_16"),
        ".ogg": sound(tone, container="OGG", subtype="VORBIS"),
        ".opus": sound(tone, container="OGG", subtype="OPUS"),
        ".mp3": encode(tone, container="mp3", codec="libmp3lame"),
        ".mp2": encode(tone, container="mp2", codec="mp2"),
        ".aac": encode(tone, container="adts", codec="aac"),
        ".m4a": encode(tone, container="ipod", codec="aac"),
        ".mp4": encode(tone, container="mp4", codec="alac"),
        ".webm": encode(tone, container="webm", codec="libopus"),
        ".mka": encode(tone, container="matroska", codec="flac"),
        ".wma": encode(tone, container="asf", codec="wmav2", b="32000"),
        ".ac3": encode(a_tone(NUM_SAMPLES * 2, 32_000), 32_000, container="ac3", codec="ac3"),
        ".wv": encode(tone, container="wv", codec="wavpack"),
        ".tta": encode(tone, container="tta", codec="tta"),
        ".amr": encode(a_tone(NUM_SAMPLES // 2, 8_000), 8_000, container="amr", codec="libopencore_amrnb"),
        ".avi": encode(tone, container="avi", codec="mp2"),
        ".g722": encode(tone, container="g722", codec="g722"),
    }


def sphere(samples: np.ndarray, coding: str = "pcm", num_samples: int | None = None) -> bytes:
    """16 bits, or mu-law of the same."""
    raw = np.rint(samples.T * 32_767).astype("<i2").tobytes()
    size = 2
    if coding == "ulaw":
        data = sound(samples, subtype="ULAW")
        raw, size = data[data.index(b"data") + 8 :], 1
    fields = [
        ("channel_count", "i", samples.shape[0]),
        ("sample_count", "i", samples.shape[1] if num_samples is None else num_samples),
        ("sample_rate", "i", RATE),
        ("sample_n_bytes", "i", size),
        ("sample_byte_format", f"s{size}", "01" if size == 2 else "1"),
        ("sample_coding", f"s{len(coding)}", coding),
    ]
    text = "NIST_1A\n   1024\n" + "".join(f"{name} -{kind} {value}\n" for name, kind, value in fields) + "end_head\n"
    return text.encode().ljust(1_024) + raw


def wav_with_size(size: int, samples: np.ndarray | None = None) -> bytes:
    """A WAV whose header says that it has `size` bytes of samples."""
    data = bytearray(sound(a_tone() if samples is None else samples, subtype="PCM_16"))
    at = data.index(b"data")
    data[4:8] = struct.pack("<I", min(size + 36, 0xFFFF_FFFF))
    data[at + 4 : at + 8] = struct.pack("<I", size)
    return bytes(data)


def flac_with_length(data: bytes, num_samples: int) -> bytes:
    """A FLAC whose STREAMINFO says `num_samples`."""
    kept = int.from_bytes(data[18:26]) >> 36 << 36
    return data[:18] + (kept | num_samples).to_bytes(8) + data[26:]


def without_xing(data: bytes) -> bytes:
    """An MP3 as it is written into a pipe: without its first frame, which tells the length."""
    first = data.index(b"\xff", int.from_bytes(data[6:10]) + 10 if data[:3] == b"ID3" else 0)
    return data[data.index(data[first : first + 2], first + 40) :]


def ogg_pages(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        num_segments = data[position + 26]
        size = 27 + num_segments + sum(data[position + 27 : position + 27 + num_segments])
        yield data[position : position + size]
        position += size


def ogg_page(packets: list[bytes], *, flags: int, samples: int, number: int, stream: int = 7) -> bytes:
    """A page of whole packets of up to 254 bytes each."""
    table = bytes(len(packet) for packet in packets)
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, samples, stream, number, 0, len(table)) + table
    page = head + b"".join(packets)
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


@cache
def _checksum_table() -> list[int]:
    table = []
    for value in range(256):
        remainder = value << 24
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x04C1_1DB7 if remainder & 1 << 31 else 0)) & 0xFFFF_FFFF
        table.append(remainder)
    return table


def _checksum(page: bytes) -> int:
    table, remainder = _checksum_table(), 0
    for byte in page:
        remainder = (remainder << 8 & 0xFFFF_FFFF) ^ table[remainder >> 24 ^ byte]
    return remainder


def silent_opus(hours: float) -> bytes:
    """Ogg Opus of digital silence, 120 ms in two bytes."""
    packet = bytes([3 << 3 | 3, 2])  # narrow-band SILK frames of 60 ms, two of them, of no bytes
    pages, samples, number = [], 0, 2
    head = b"OpusHead" + struct.pack("<BBHIHB", 1, 1, 312, 8_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I4sI", 4, b"none", 0)
    pages += [ogg_page([head], flags=2, samples=0, number=0), ogg_page([tags], flags=0, samples=0, number=1)]
    left = round(hours * 3_600 / 0.12)
    while left:
        num_packets = min(255, left)
        left -= num_packets
        samples += num_packets * 5_760
        pages.append(ogg_page([packet] * num_packets, flags=0 if left else 4, samples=samples, number=number))
        number += 1
    return b"".join(pages)


def box(kind: bytes, content: bytes) -> bytes:
    """Of an MP4."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def movie(*, video: bool, audio: bool, cover_only: bool = False) -> bytes:
    """An MP4 whose first stream is a picture or a video."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        picture = output.add_stream("mjpeg" if cover_only else "mpeg4", rate=10) if video else None
        stream = output.add_stream("aac", rate=RATE, layout="mono") if audio else None
        if picture:
            picture.width, picture.height = 64, 48
            picture.pix_fmt = "yuvj420p" if cover_only else "yuv420p"
            for _ in range(1 if cover_only else 12):
                output.mux(
                    picture.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24"))
                )
            output.mux(picture.encode(None))
        if stream:
            frame = av.AudioFrame.from_ndarray(a_tone(), format="fltp", layout="mono")
            frame.sample_rate = RATE
            resampler = av.AudioResampler(stream.format.name, stream.layout, RATE, frame_size=stream.frame_size)
            for part in resampler.resample(frame) + resampler.resample(None):
                output.mux(stream.encode(part))
            output.mux([packet for packet in stream.encode(None) if packet.size])
    return buffer.getvalue()
