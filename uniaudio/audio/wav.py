"""WAV in all its forms (RIFF, RIFX, RF64, BW64): where the samples lie, and a sound header in front of them.

Reads   the chunk headers; never a size that it does not compare with the file
Gives   a part for each WAV in the file, for instance `Part(pieces=(b"RIFF…fmt …data…", (44, 53212)))`

libsndfile believes sizes: it silently shortens a file that promises more than there is, and stops where a program that
wrote into a pipe said 0. So the header is written anew from what the file holds, and what the file promises beyond that is
an error here, but for a few samples in a minute. A program that does not know the length writes 0, all ones, or a number just below 2 or 4 GiB (sox
0x7ffff000, FFmpeg 0xffffffff, others minus their header or a block); such files are read to their end.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from uniaudio_schemas.errors import DataError

from uniaudio.audio.part import MAX_MISSING_EXACT, Layout, Part
from uniaudio.audio.tags import Window, skip_tags

_MIB = 1 << 20
_MAX_CHUNKS = 10_000
_MAX_FORMAT_BYTES = 1 << 12
_MPEG_TAGS = (0x50, 0x55)
"""WAV's codec numbers of MP2 and MP3."""
_LIBSNDFILE_TAGS = (0x01, 0x02, 0x03, 0x06, 0x07, 0x11, 0x38, 0x40)
"""PCM, MS ADPCM, float, A-law, mu-law, IMA ADPCM, NMS ADPCM, G.721. FFmpeg reads the others, among them GSM 6.10, to which
libsndfile adds a block of garbage.
"""
_EXTENSIBLE = 0xFFFE


def means_unknown(size: int) -> bool:
    """Whether `size` (32 bits) stands for a length that nobody knew."""
    return size == 0 or size >= (1 << 32) - _MIB or (1 << 31) - _MIB <= size <= (1 << 31) + _MIB


def settle(layout: Layout, promised: int, present: int, name: str, *, unknown: bool) -> int:
    """How many bytes of samples to read, of `promised` by the header and `present` in the file."""
    if unknown and (promised == 0 or promised > present):
        layout.note("unknown_length", f"the header says {promised} bytes of samples, the file holds {present}")
        return present
    if 0 < promised - present <= promised * MAX_MISSING_EXACT:
        layout.note("shorter_than_header", f"{present} bytes of samples, the header says {promised}")
        return present
    if promised > present:
        raise DataError(f"{name}: is cut short: {present} of {promised} bytes of samples.")
    return promised


def walk_chunks(window: Window, start: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and size of each chunk; `order` is `<` or `>`. Sizes may reach beyond the file."""
    for _ in range(_MAX_CHUNKS):
        head = window.at(start, 8)
        if len(head) < 8:
            return
        size = struct.unpack(f"{order}I", head[4:])[0]
        yield head[:4], start + 8, size
        start += 8 + size + size % 2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wav:
    order: str
    """`<`, or `>` in RIFX."""
    format: bytes
    """Contents of the chunks `fmt ` and `fact`."""
    fact: bytes
    first: int
    """The first byte of samples."""
    promised: int
    """Bytes of samples after the header."""
    is_wide: bool
    """Whether that is a number of 64 bits, which no program leaves open."""

    @property
    def tag(self) -> int:
        tag: int = struct.unpack_from(f"{self.order}H", self.format)[0]
        if tag == _EXTENSIBLE and len(self.format) >= 26:
            tag = struct.unpack_from(f"{self.order}H", self.format, 24)[0]  # the first bytes of the codec's GUID
        return tag

    def header(self, size: int) -> bytes:
        """What comes in front of `size` bytes of samples."""
        chunks = _chunk(self.order, b"fmt ", self.format) + (
            _chunk(self.order, b"fact", self.fact) if self.fact else b""
        )
        total = 4 + len(chunks) + 8 + size
        if total < (1 << 32) - _MIB:
            name = b"RIFF" if self.order == "<" else b"RIFX"
            return struct.pack(f"{self.order}4sI4s", name, total, b"WAVE") + chunks + self._data_head(size)
        wide = _chunk("<", b"ds64", struct.pack("<QQQI", total + 36, size, 0, 0))
        return struct.pack("<4sI4s", b"RF64", 0xFFFF_FFFF, b"WAVE") + wide + chunks + self._data_head(0xFFFF_FFFF)

    def _data_head(self, size: int) -> bytes:
        return struct.pack(f"{self.order}4sI", b"data", size)


def pcm_header(order: str, tag: int, channels: int, sample_rate: int, sample_bytes: int, size: int) -> bytes:
    """The header of a WAV of `size` bytes of samples; `tag` is 1 for PCM, 6 for A-law, 7 for mu-law."""
    frame = channels * sample_bytes
    content = struct.pack(
        f"{order}HHIIHH",
        tag,
        channels,
        sample_rate,
        sample_rate * frame & 0xFFFF_FFFF,
        frame & 0xFFFF,
        sample_bytes * 8,
    )
    return _Wav(order=order, format=content, fact=b"", first=0, promised=size, is_wide=False).header(size)


def lay_out_wav(file: Any, start: int, stop: int, name: str, layout: Layout) -> tuple[int, int] | None:
    """Adds a part for the WAV at byte `start` and for each that follows it directly. Returns, and adds nothing for, the
    range of the samples where they are MPEG audio.
    """
    window = Window(file, stop)
    while True:
        wav = _find(window, start, name)
        # Behind the samples of a header that was finished there are chunks or nothing.
        finished = wav.is_wide or (wav.promised == 0 and _is_chunk(window, wav.first))
        unknown = not finished and means_unknown(wav.promised)
        size = settle(layout, wav.promised, stop - wav.first, name, unknown=unknown)
        if wav.tag in _MPEG_TAGS:
            return wav.first, wav.first + size
        is_supported, pieces = wav.tag in _LIBSNDFILE_TAGS, (wav.header(size), (wav.first, wav.first + size))
        layout.parts.append(Part(pieces=pieces, demuxer=None if is_supported else "wav", is_exact=is_supported))
        start = _skip_chunks(window, wav.first + size)
        if not is_wav(window.at(start, 12)):
            break
    if len(layout.parts) > 1:
        layout.note("chained_streams", f"{len(layout.parts)} WAV files, one behind the other")
    if junk := window.count_junk(start, stop):
        layout.note("junk_behind_audio", f"{junk} bytes behind the {size} bytes of samples that the header says")
    return None


def is_wav(head: bytes) -> bool:
    return head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE"


def _chunk(order: str, name: bytes, content: bytes) -> bytes:
    return struct.pack(f"{order}4sI", name, len(content)) + content + b"\0" * (len(content) % 2)


def _find(window: Window, start: int, name: str) -> _Wav:
    order = ">" if window.at(start, 4) == b"RIFX" else "<"
    is_wide, wide_size, form, fact = window.at(start, 4) in (b"RF64", b"BW64"), 0, b"", b""
    samples: tuple[int, int] | None = None
    for kind, first, size in walk_chunks(window, start + 12, order):
        if kind == b"ds64":
            wide_size = int.from_bytes(window.at(first + 8, 8), "little")
        elif kind == b"fmt " and not form:
            form = window.at(first, min(size, _MAX_FORMAT_BYTES))
        elif kind == b"fact":
            fact = window.at(first, min(size, 4))
        elif kind == b"data" and samples is None:
            samples = first, size
        if form and samples:
            break
    if samples is None or len(form) < 14:
        chunk_name = "chunk of samples" if samples is None else "chunk that tells their format"
        raise DataError(f"{name}: is not an audio file that can be read: its WAV header has no {chunk_name}.")
    is_wide = is_wide and samples[1] == 0xFFFF_FFFF and 0 < wide_size < 1 << 62
    promised = wide_size if is_wide else samples[1]
    return _Wav(order=order, format=form, fact=fact, first=samples[0], promised=promised, is_wide=is_wide)


def _is_chunk(window: Window, position: int) -> bool:
    """Whether a chunk that ends in the file begins here, or the file ends here."""
    head = window.at(position, 8)
    if len(head) < 8:
        return len(head) < 2
    size = int.from_bytes(head[4:], "big" if head[:4] == b"RIFX" else "little")
    return head[:4].isascii() and head[:4].decode().isprintable() and position + 8 + size <= window.stop


def _skip_chunks(window: Window, position: int) -> int:
    """Where the chunks and tags behind the samples end, or the next WAV begins."""
    for _ in range(_MAX_CHUNKS):
        # Some writers forget the byte that makes an odd size even.
        start = next(
            (position + pad for pad in (0, 1) if position + pad < window.stop and _is_chunk(window, position + pad)),
            None,
        )
        after_tags = skip_tags(window, position)
        if after_tags > position:
            position = after_tags
        elif start is None or is_wav(window.at(start, 12)):
            return position if start is None else start
        else:
            position = start + 8 + int.from_bytes(window.at(start + 4, 4), "little")
    return position
