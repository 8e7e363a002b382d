"""Headers of MPEG audio and ADTS frames, and what a Xing or VBRI frame says of the whole file.

Reads   the first bytes of a frame
Gives   for instance `Header(size=216, num_samples=576, sample_rate=16000, channels=1, codec="mp3", side_bytes=13)`

Sources: ISO/IEC 11172-3 2.4.2.3, 13818-3, 13818-7 6.2; the LAME tag, http://gabriel.mp3-tech.org/mp3infotag.html.
"""

from dataclasses import dataclass
from functools import lru_cache

_RATES = (44_100, 48_000, 32_000)
_ADTS_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_KBPS = {  # by (is MPEG-1, layer)
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_WITH_DELAYS = (b"LAME", b"Lavf", b"Lavc")
"""Encoders whose tag tells the delays (those that FFmpeg believes)."""
_DECODER_DELAY = 529
"""Samples by which an MP3 decoder lags, added to the encoder's own delay (LAME's technical FAQ)."""


@dataclass(frozen=True, slots=True)
class Header:
    size: int
    """Bytes of the frame."""
    num_samples: int
    sample_rate: int
    channels: int
    """Number of channels; 0 in ADTS where the frame itself states it."""
    codec: str
    """`mp3`, `mp2`, `mp1` or `aac`; frames of two codecs are never of one run."""
    side_bytes: int = 0
    """Bytes from the frame's start to the place of a Xing tag (MP3 only)."""

    def like(self, other: "Header") -> bool:
        return (self.codec, self.sample_rate, self.channels, self.num_samples) == (
            other.codec,
            other.sample_rate,
            other.channels,
            other.num_samples,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class VbrTag:
    """What a Xing, Info or VBRI frame says."""

    num_frames: int | None
    """None where it leaves that open."""
    field_offset: int
    """Where in the frame the count lies, 4 bytes, the highest first."""
    delay: int
    """Samples the encoder put in front, and those behind the end: 0 without a LAME tag."""
    padding: int

    def trimmed(self, num_samples: int) -> int:
        """What of `num_samples` decoders give without the delays."""
        if not self.delay and not self.padding:
            return num_samples
        return max(0, num_samples - self.delay - _DECODER_DELAY - max(0, self.padding - _DECODER_DELAY))


@lru_cache(maxsize=4096)
def mpeg_header(word: int) -> Header | None:
    """The first 4 bytes as a number -> the header, or None where they are none (free-format frames count as none)."""
    version, layer, rate_index = word >> 19 & 3, 4 - (word >> 17 & 3), word >> 10 & 3
    bitrate_index, padding = word >> 12 & 15, word >> 9 & 1
    if (
        word >> 21 != 0x7FF
        or version == 1
        or layer == 4
        or rate_index == 3
        or bitrate_index in (0, 15)
        or word & 3 == 2
    ):
        return None
    is_first = version == 3
    sample_rate = _RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    bits_per_second = _KBPS[is_first, layer][bitrate_index - 1] * 1_000
    num_samples = 384 if layer == 1 else 576 if layer == 3 and not is_first else 1_152
    slot_bytes = 4 if layer == 1 else 1
    size = (num_samples // 8 // slot_bytes * bits_per_second // sample_rate + padding) * slot_bytes
    channels = 1 if word >> 6 & 3 == 3 else 2
    side = (17 if channels == 1 else 32) if is_first else (9 if channels == 1 else 17)
    return Header(size, num_samples, sample_rate, channels, f"mp{layer}", 4 + side if layer == 3 else 0)


def adts_header(word: int) -> Header | None:
    """The first 7 bytes as a number -> the header, or None where they are none."""
    rate_index, channels, size = word >> 34 & 15, word >> 30 & 7, word >> 13 & 0x1FFF
    if word >> 44 != 0xFFF or word >> 41 & 3 or rate_index >= len(_ADTS_RATES) or size < 7:
        return None
    return Header(size, 1_024 * ((word & 3) + 1), _ADTS_RATES[rate_index], channels, "aac")


def vbr_tag(frame: bytes, side_bytes: int) -> VbrTag | None:
    """The tag with which the frame describes the whole file; None where it is a frame of sound."""
    if frame[36:40] == b"VBRI":
        return VbrTag(num_frames=_count(frame[50:54]), field_offset=50, delay=0, padding=0)
    if frame[side_bytes : side_bytes + 4] not in (b"Xing", b"Info"):
        return None
    flags, position = int.from_bytes(frame[side_bytes + 4 : side_bytes + 8]), side_bytes + 8
    num_frames = _count(frame[position : position + 4]) if flags & 1 else None
    # Fields that are there if their flag is: count, bytes, table of contents, quality.
    lame = position + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    delays = int.from_bytes(frame[lame + 21 : lame + 24]) if frame[lame : lame + 4] in _WITH_DELAYS else 0
    return VbrTag(num_frames=num_frames, field_offset=position, delay=delays >> 12, padding=delays & 0xFFF)


def _count(field: bytes) -> int | None:
    return int.from_bytes(field) or None
