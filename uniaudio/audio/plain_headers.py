"""AIFF, AU, CAF, W64 and SPHERE: headers before raw samples, written anew from what the file holds (why: see `wav`).

Reads   the header, for instance `NIST_1A`, 1024, `sample_coding -s4 ulaw`, …
Gives   one part for libsndfile, for instance `Part(pieces=(b"RIFF…data…", (1024, 27608)))`: SPHERE is read as WAV
"""

import re
import struct
from typing import Any

from uniaudio_schemas.errors import DataError

from uniaudio.audio.part import Layout, Part
from uniaudio.audio.splice import Piece
from uniaudio.audio.tags import Window, skip_tags
from uniaudio.audio.wav import means_unknown, pcm_header, settle, walk_chunks

_SAMPLE_BYTES = {b"NONE": 0, b"sowt": 0, b"twos": 0, b"raw ": 0, b"in24": 3, b"in32": 4, b"fl32": 4, b"FL32": 4} | {
    b"fl64": 8,
    b"FL64": 8,
    b"ulaw": 1,
    b"ULAW": 1,
    b"alaw": 1,
    b"ALAW": 1,
}
"""AIFF-C's codecs of fixed size; 0 means that the header's bits a sample say."""
_AU_UNKNOWN = 0xFFFF_FFFF
_W64_GUID_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_MAX_CHUNKS = 10_000
_SPHERE_NUMBERS = (("channel_count", "1"), ("sample_rate", "0"), ("sample_n_bytes", "2"), ("sample_count", "0"))
"""Fields that are numbers, and what they are where they are missing."""
_SPHERE_TAGS = {"pcm": 1, "ulaw": 7, "mu-law": 7, "mulaw": 7, "alaw": 6}


def lay_out_aiff(file: Any, start: int, stop: int, name: str, layout: Layout) -> None:
    window, chunks = Window(file, stop), dict[bytes, tuple[int, int]]()
    for kind, first, size in walk_chunks(window, start + 12, ">"):
        chunks.setdefault(kind, (first, size))
        if {b"COMM", b"SSND"} <= set(chunks):
            break
    if not {b"COMM", b"SSND"} <= set(chunks):
        raise DataError(f"{name}: is not an audio file that can be read: its AIFF header has no COMM or SSND chunk.")
    comm = window.at(chunks[b"COMM"][0], min(chunks[b"COMM"][1], 4_096))
    if len(comm) < 18:
        raise DataError(f"{name}: is not an audio file that can be read: its COMM chunk has {len(comm)} bytes.")
    first, size = chunks[b"SSND"]
    channels, frames, bits = struct.unpack(">hIh", comm[:8])
    codec = comm[18:22] if window.at(start + 8, 4) == b"AIFC" else b"NONE"
    frame_bytes = channels * (_SAMPLE_BYTES.get(codec, 0) or (bits + 7) // 8) if codec in _SAMPLE_BYTES else 0
    # The size counts the 8 bytes in front of the samples.
    present, promised = stop - first - 8, max(0, size - 8)
    if frame_bytes > 0 and frames * frame_bytes > promised and not means_unknown(size):
        promised = frames * frame_bytes
    num_bytes = settle(layout, promised, present, name, unknown=means_unknown(size) or size == 8)
    if frame_bytes > 0:
        if num_bytes // frame_bytes > frames and promised == num_bytes:
            layout.note("longer_than_header", f"{num_bytes // frame_bytes} samples, the header says {frames}")
        comm = comm[:2] + struct.pack(">I", min(num_bytes // frame_bytes, 0xFFFF_FFFF)) + comm[6:]
    body = b"COMM" + struct.pack(">I", len(comm)) + comm + b"\0" * (len(comm) % 2)
    body += b"SSND" + struct.pack(">II", min(num_bytes + 8, 0xFFFF_FFFF), 0) + b"\0" * 4
    form = window.at(start + 8, 4)
    header = b"FORM" + struct.pack(">I", min(4 + len(body) + num_bytes, 0xFFFF_FFFF)) + form + body
    layout.parts.append(Part(pieces=(header, (first + 8, first + 8 + num_bytes))))


def lay_out_au(file: Any, start: int, stop: int, name: str, layout: Layout) -> None:
    head = Window(file, stop).at(start, 24)
    order = "<" if head[:4] == b"dns." else ">"
    offset, size = struct.unpack(f"{order}II", head[4:12]) if len(head) == 24 else (0, 0)
    if offset < 24 or start + offset > stop:
        raise DataError(f"{name}: is not an audio file that can be read: its AU header ends at byte {offset}.")
    first = start + offset
    num_bytes = settle(layout, size, stop - first, name, unknown=means_unknown(size))
    header = head[:4] + struct.pack(f"{order}II", 24, min(num_bytes, _AU_UNKNOWN)) + head[12:]
    layout.parts.append(Part(pieces=(header, (first, first + num_bytes))))


def lay_out_caf(file: Any, start: int, stop: int, name: str, layout: Layout) -> None:
    window, position, pieces, codec = Window(file, stop), start + 8, list[Piece](), b""
    while len(head := window.at(position, 12)) == 12 and len(pieces) < _MAX_CHUNKS:
        kind, size = struct.unpack(">4sq", head)
        first = position + 12
        if kind == b"desc":
            codec = window.at(first + 8, 4)
        if kind == b"data":
            size = settle(layout, max(0, size), stop - first, name, unknown=size == -1)
            pieces.append(struct.pack(">4sq", kind, size))
            position = first
        if size < 0 or first + size > stop:
            break
        pieces.append((position, first + size))
        position = first + size
    demuxer = None if codec in (b"lpcm", b"ulaw", b"alaw", b"alac") else "caf"
    layout.parts.append(Part(pieces=((start, start + 8), *pieces), demuxer=demuxer, is_exact=demuxer is None))


def lay_out_w64(file: Any, start: int, stop: int, name: str, layout: Layout) -> None:
    window, position = Window(file, stop), start + 40
    for _ in range(_MAX_CHUNKS):
        head = window.at(position, 24)
        if len(head) < 24:
            break
        size = struct.unpack("<Q", head[16:])[0]  # with its own header
        if head[:4] == b"data" and head[4:16] == _W64_GUID_TAIL:
            settle(layout, max(0, size - 24), stop - position - 24, name, unknown=False)
            break
        if size < 24:
            break
        position += size + -size % 8
    layout.parts.append(Part(pieces=((start, stop),)))


def lay_out_sphere(file: Any, start: int, stop: int, name: str, layout: Layout) -> None:
    window = Window(file, stop)
    size_line = window.at(start + 8, 8).strip()
    header_bytes = int(size_line) if size_line.isdigit() else 0
    if not 16 < header_bytes <= 1 << 20:
        raise DataError(f"{name}: is not an audio file that can be read: its SPHERE header says {header_bytes} bytes.")
    text = window.at(start, header_bytes).split(b"end_head")[0].decode("latin-1")
    fields = dict(re.findall(r"^(\w+) +-\w+ +(.*?)\s*$", text, re.MULTILINE))
    coding = fields.get("sample_coding", "pcm").lower()
    if coding not in _SPHERE_TAGS:
        raise DataError(
            f"{name}: its samples must be coded as pcm, ulaw or alaw, but are {coding}: expand it with sph2pipe."
        )
    numbers = (fields.get(key, default) for key, default in _SPHERE_NUMBERS)
    try:
        channels, sample_rate, sample_bytes, count = (int(number) for number in numbers)
    except ValueError as error:
        raise DataError(
            f"{name}: is not an audio file that can be read: a field of its SPHERE header: {error}."
        ) from error
    if coding == "pcm" and sample_bytes == 1:
        raise DataError(f"{name}: its pcm samples must have 2 to 4 bytes, but have 1.")
    if not (1 <= channels <= 1_024 and 1 <= sample_bytes <= 4 and 1 <= sample_rate < 1 << 32 and count < 1 << 40):
        raise DataError(f"{name}: is not an audio file that can be read: a number of its SPHERE header is absurd.")
    first = start + header_bytes
    promised = max(0, count) * channels * sample_bytes
    num_bytes = settle(layout, promised, max(0, stop - first), name, unknown=count <= 0)
    order = ">" if fields.get("sample_byte_format", "01").startswith("1") and sample_bytes > 1 else "<"
    header = pcm_header(order, _SPHERE_TAGS[coding], channels, sample_rate, sample_bytes, num_bytes)
    layout.parts.append(Part(pieces=(header, (first, first + num_bytes))))
    end = skip_tags(window, first + num_bytes)
    if junk := window.count_junk(end, stop):
        layout.note("junk_behind_audio", f"{junk} bytes behind the {num_bytes} bytes of samples that the header says")
