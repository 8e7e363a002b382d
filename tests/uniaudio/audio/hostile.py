"""Hostile and broken audio files, each with what reading it must give; run as a program it reads them all.

python -m tests.uniaudio.audio.hostile FOLDER      # one JSON line a file, then the peak memory in MiB

Row out  {"name": "wav size 0x7ffff000", "num_samples": 20000, "error": "", "problems": ["unknown_length"]}
"""

import io
import itertools
import json
import resource
import struct
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from uniaudio_schemas.errors import DataError

from tests.uniaudio.audio.files import (
    NUM_SAMPLES,
    RATE,
    a_tone,
    box,
    encode,
    every_format,
    flac_with_length,
    movie,
    ogg_page,
    ogg_pages,
    silent_opus,
    sound,
    sphere,
    wav_with_size,
    without_xing,
)
from uniaudio.audio.read import Problem, probe, read_blocks

HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n"
PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{secret}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "xspf": '<?xml version="1.0"?><playlist><trackList><track><location>{secret}</location></track></trackList></playlist>',
    "mpd": '<?xml version="1.0"?><MPD><Period><AdaptationSet><BaseURL>{secret}</BaseURL></AdaptationSet></Period></MPD>',
    "pls": "[playlist]\nFile1={secret}\n",
    "m3u8 by http": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.wav\n",
}


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    """Its suffix is the file's."""
    data: bytes
    samples: tuple[int, int] | None = None
    """The fewest and the most a channel that reading may give; None where it must fail."""
    error: str = ""
    """What its error must hold; with `samples` too either is right."""
    problem: str = ""
    """A kind that must be reported."""


def cases() -> Iterator[Case]:
    """Every case, the same in every run."""
    yield from itertools.chain(*(group() for group in GROUPS.values()), _large(), _flipped())


def _exact(name: str, data: bytes, num_samples: int = NUM_SAMPLES, problem: str = "") -> Case:
    return Case(name, data, samples=(num_samples, num_samples), problem=problem)


_SAYS_NOTHING = (".mp2", ".aac", ".ac3", ".amr", ".g722")
"""Suffixes of formats without a length, of which a cut cannot be seen."""


def _cut_short() -> Iterator[Case]:
    for suffix, data in every_format().items():
        for share in (0.001, 0.01, 0.05, 0.2, 0.5, 0.77, 0.93):
            cut = data[: max(1, int(len(data) * share))]
            must_fail = suffix not in _SAYS_NOTHING
            yield Case(
                f"cut at {share}{suffix}",
                cut,
                None if must_fail else (1, NUM_SAMPLES * 3),
                "x" if not must_fail else "",
            )


def _wav_sizes() -> Iterator[Case]:
    for size in (0, 0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_EC00, 0xFFFF_FFD3, 0xFFFF_FFFF):
        yield _exact(f"size {size:#x}.wav", wav_with_size(size), problem="unknown_length")
    yield Case("size a little too large.wav", wav_with_size(2 * NUM_SAMPLES + 2), error="cut short")
    yield Case("size of 1 GiB.wav", wav_with_size(1 << 30), error="cut short")
    yield _exact("size too small.wav", wav_with_size(NUM_SAMPLES), NUM_SAMPLES // 2, problem="junk_behind_audio")
    wide = every_format()[".rf64"]
    at = wide.index(b"ds64") + 16
    yield Case("size of 2^62.rf64", wide[:at] + (1 << 62).to_bytes(8, "little") + wide[at + 8 :], (0, NUM_SAMPLES), "x")


def _wav_chunks() -> Iterator[Case]:
    data = every_format()[".wav"]
    form, samples = data[12:36], data[36:]
    yield _exact("format behind the samples.wav", data[:12] + samples + form)
    yield Case("no format.wav", data[:12] + samples, error="no chunk that tells")
    yield Case("no samples.wav", data[:36], error="no chunk of samples")
    nested = b"RIFF" + struct.pack("<I", 4 + len(form)) + b"WAVE" + form
    yield _exact("nested.wav", data[:12] + nested + form + samples)
    yield _exact("list of odd size.wav", data[:12] + b"LIST" + struct.pack("<I", 5) + b"INFO\0\0" + form + samples)
    yield Case("a thousand empty chunks.wav", data[:12] + b"junk\0\0\0\0" * 1_000 + form + samples, (NUM_SAMPLES,) * 2)
    yield Case("many empty chunks.wav", data[:12] + b"junk\0\0\0\0" * 20_000 + form + samples, error="no chunk")
    yield Case("chunk of all ones.wav", data[:12] + b"junk\xff\xff\xff\xff" + form + samples, error="no chunk")
    yield _exact("id3 behind.wav", data + b"id3 " + struct.pack("<I", 10) + b"ID3\3\0\0\0\0\0\0")
    for name, at, value in (("rate", 24, 0), ("rate", 24, 0xFFFF_FFFF), ("channels", 22, 0), ("channels", 22, 0xFFFF)):
        size = 4 if name == "rate" else 2
        yield Case(f"{name} {value}.wav", data[:at] + value.to_bytes(size, "little") + data[at + size :], error=".")
    for name, at in (("block", 32), ("bits", 34), ("codec", 20)):
        for value in (0, 1, 7, 0xFFFF):
            changed = data[:at] + struct.pack("<H", value) + data[at + 2 :]
            yield Case(f"{name} {value}.wav", changed, (1, NUM_SAMPLES * 16), "x")


def _headers() -> Iterator[Case]:
    tone = a_tone()
    au, caf, aiff = (every_format()[suffix] for suffix in (".au", ".caf", ".aiff"))
    yield _exact("unknown.au", au[:8] + b"\xff" * 4 + au[12:], problem="unknown_length")
    at = caf.index(b"data") + 4
    yield _exact("unknown.caf", caf[:at] + b"\xff" * 8 + caf[at + 8 :], problem="unknown_length")
    yield _exact(
        "piped.aiff", encode(tone, container="aiff", codec="pcm_s16be", seekable=False), problem="unknown_length"
    )
    w64 = every_format()[".w64"]
    huge = w64[:56] + b"\xf8" + b"\xff" * 6 + b"\x7f" + w64[64:]
    yield Case("chunk of 2^63 bytes.w64", huge, error=".")
    yield Case("offset behind the end.au", au[:4] + b"\x7f" * 4 + au[8:], error="header")
    rate = aiff.index(b"COMM") + 16
    for name, value in (
        ("zero", bytes(10)),
        ("infinite", b"\x7f\xff" + b"\xff" * 8),
        ("negative", b"\xc0\x0e" + b"\xff" * 8),
    ):
        yield Case(f"{name} rate.aiff", aiff[:rate] + value + aiff[rate + 10 :], error=".")
    yield _exact("ulaw.sph", sphere(tone, "ulaw"))
    yield _exact("of unknown length.sph", sphere(tone, num_samples=0), problem="unknown_length")
    yield Case("shorten.sph", sphere(tone, "pcm,embedded-shorten-v2.00"), error="must be coded as pcm, ulaw or alaw")
    yield Case("too long.sph", sphere(tone, num_samples=NUM_SAMPLES + 1), error="cut short")
    for field in (b"channel_count -i 1", b"sample_rate -i 16000", b"sample_n_bytes -i 2"):
        for value in (b"0", b"-1", b"99999999999", b"x"):
            text = field.rsplit(b" ", 1)[0] + b" " + value
            changed = every_format()[".sph"].replace(field, text)
            yield Case(f"{text.decode()}.sph", changed, (1, NUM_SAMPLES * 2), "x")


def _surrounded() -> Iterator[Case]:
    noise = np.random.default_rng(1).bytes(3_000)
    for suffix in (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus", ".aac"):
        data = every_format()[suffix]
        whole = (NUM_SAMPLES, 3 * NUM_SAMPLES + 2_048)
        for name, junk in (("headers", HTTP), ("zeros", bytes(4_096)), ("noise", noise)):
            problem = "" if name == "zeros" else "junk_before_audio"
            yield Case(f"{name} in front{suffix}", junk + data, whole, problem=problem)
        yield Case(f"ID3v1 behind{suffix}", data + b"TAG" + bytes(125), whole)
        yield Case(f"zeros behind{suffix}", data + bytes(4_096), whole)
        yield Case(
            f"noise behind{suffix}",
            data + noise,
            whole,
            problem="" if suffix in (".flac", ".m4a") else "junk_behind_audio",
        )


def _renamed() -> Iterator[Case]:
    suffixes = [suffix for suffix in every_format() if suffix != ".g722"]
    for suffix, other in zip(suffixes, suffixes[7:] + suffixes[:7], strict=True):
        data = every_format()[suffix]
        yield Case(f"{suffix[1:]} as{other}", data, (NUM_SAMPLES // 2, 3 * NUM_SAMPLES + 2_048), problem="wrong_suffix")


def _short() -> Iterator[Case]:
    for num_samples in (0, 1):
        tone = a_tone(num_samples)
        for container in ("WAV", "AIFF", "AU", "CAF", "W64", "RF64", "OGG"):
            name = f"{num_samples} samples.{container.lower()}"
            yield _exact(name, sound(tone, container=container), num_samples)
    one = a_tone(1)
    for container, codec, suffix in (("mp3", "libmp3lame", ".mp3"), ("ipod", "aac", ".m4a"), ("adts", "aac", ".aac")):
        yield Case(f"1 sample{suffix}", encode(one, container=container, codec=codec), (1, 4_096), "x")


def _not_numbers() -> Iterator[Case]:
    for value in (np.nan, np.inf, -np.inf):
        samples = np.where(np.arange(NUM_SAMPLES) == 12_345, value, 0.1)[None]
        for container in ("WAV", "AIFF", "AU", "CAF"):
            data = sound(samples, container=container, subtype="FLOAT")
            yield Case(f"{value}.{container.lower()}", data, error="sample 12345 must be a finite number")


def _large() -> Iterator[Case]:
    yield _exact("192 kHz.flac", sound(a_tone(50_000, 192_000), 192_000, container="FLAC"), 50_000)
    yield _exact("32 channels.wav", sound(a_tone(100_000, channels=32), subtype="FLOAT"), 100_000)
    yield _exact("256 channels.wav", sound(np.zeros((256, 100)), subtype="PCM_16"), 100)
    yield Case("1024 channels.wav", sound(np.zeros((1_024, 100)), subtype="PCM_16"), error="256")
    yield _exact("an hour of silence.flac", sound(np.zeros((1, 3_600 * 8_000)), 8_000, container="FLAC"), 3_600 * 8_000)
    yield _exact("ten hours of silence.opus", silent_opus(10), 10 * 3_600 * 8_000 - 52)


def _tags() -> Iterator[Case]:
    mp3, flac = every_format()[".mp3"], every_format()[".flac"]
    bomb = b"APIC" + struct.pack(">I", 0x7F7F_7F7F) + b"\0\x0b" + b"\x7f\x7f\x7f\x7f"
    tag = b"ID3\4\0\0" + bytes([0, 0, len(bomb) >> 7, len(bomb) & 127]) + bomb
    yield _exact("bomb in the tag.mp3", tag + mp3)
    yield _exact("bomb in the tag.flac", tag + flac)
    yield _exact("five thousand tags.mp3", tag * 5_000 + mp3)
    yield Case("tag of 256 MiB.mp3", b"ID3\4\0\0\x7f\x7f\x7f\x7f" + mp3, error="Format not recognised")
    yield _exact("tag in the middle.mp3", mp3 + tag + mp3, 2 * NUM_SAMPLES, problem="chained_streams")
    yield _exact("APE tag behind.mp3", mp3 + b"APETAGEX" + struct.pack("<IIII", 2_000, 32, 0, 1 << 31) + bytes(8))
    yield _exact("lyrics behind.mp3", mp3 + b"LYRICSBEGIN" + b"la " * 100 + b"000300LYRICS200" + b"TAG" + bytes(125))


def _playlists() -> Iterator[Case]:
    for kind, text in PLAYLISTS.items():
        for suffix in (".wav", ".mp3", ".m4a", ".webm", ".wma", ".aac"):
            data = text.replace("{secret}", "file:secret.wav").encode()
            yield Case(f"{kind} as{suffix}", data, error="Format not recognised")


def _movies() -> Iterator[Case]:
    whole = (NUM_SAMPLES, NUM_SAMPLES + 3_072)
    yield Case("video first.mp4", movie(video=True, audio=True), whole)
    yield Case("cover first.m4a", movie(video=True, audio=True, cover_only=True), whole)
    yield Case("no audio.mp4", movie(video=True, audio=False), error="no audio stream")
    m4a = every_format()[".m4a"]
    sizes = m4a.index(b"stsz") - 4
    many = struct.pack(">II", 1, 170_000_000)  # samples of one byte each
    table = box(b"stsz", bytes(4) + many)
    old = int.from_bytes(m4a[sizes : sizes + 4])
    padding = box(b"free", bytes(old - len(table) - 8))
    bomb = m4a[:sizes] + table + padding + m4a[sizes + old :]
    yield Case("table of 170 million samples.m4a", bomb, error="counts more samples")
    run = box(b"trun", struct.pack(">II", 0, 170_000_000))
    fragment = box(b"moof", box(b"traf", box(b"tfhd", struct.pack(">II", 0x20_0000, 1)) + run))
    yield Case("fragment of 170 million samples.m4a", m4a + fragment, error="counts more samples")
    for kind in (b"stts", b"stsc"):
        at = m4a.index(kind) + 12
        huge = m4a[:at] + b"\x7f\xff\xff\xff" * 2 + m4a[at + 8 :]
        yield Case(f"huge {kind.decode()}.m4a", huge, (1, 1 << 40), "x")
    boxes = b"".join([box(b"moov", b"")] * 1_000)
    for _ in range(200):
        boxes = box(b"moov", boxes)
    yield Case("boxes in boxes.mp4", boxes, error=".")


def _lengths() -> Iterator[Case]:
    flac, mp3 = every_format()[".flac"], every_format()[".mp3"]
    yield _exact("unknown.flac", flac_with_length(flac, 0), problem="unknown_length")
    yield _exact("says less.flac", flac_with_length(flac, 5_000), problem="longer_than_header")
    yield Case("says more.flac", flac_with_length(flac, NUM_SAMPLES + 1), error="cut short")
    yield Case("says 2^36 - 1.flac", flac_with_length(flac, (1 << 36) - 1), error="cut short")
    yield _exact("without length.mp3", without_xing(mp3), 37 * 576)
    variable = encode(
        a_tone(), container="mp3", codec="libmp3lame", seekable=False, flags="+qscale", global_quality="472"
    )
    yield _exact("variable.mp3", variable, 37 * 576, problem="unknown_length")
    at = mp3.index(b"Xing" if b"Xing" in mp3 else b"Info") + 8
    yield _exact("says less.mp3", mp3[:at] + struct.pack(">I", 9) + mp3[at + 4 :], problem="longer_than_header")
    yield Case("says more.mp3", mp3[:at] + struct.pack(">I", 60) + mp3[at + 4 :], error="cut short: 37 of 60")
    live = encode(a_tone(), container="webm", codec="libopus", seekable=False)
    yield _exact("live.webm", live, 3 * NUM_SAMPLES, problem="unknown_length")
    fragments = encode(
        a_tone(),
        container="mp4",
        codec="aac",
        seekable=False,
        container_options={"movflags": "frag_every_frame+empty_moov"},
    )
    yield Case("fragmented.m4a", fragments, (NUM_SAMPLES, NUM_SAMPLES + 3_072))
    yield Case("fragmented and cut.m4a", fragments[: len(fragments) // 2], error="cut short")


def _chained() -> Iterator[Case]:
    tone, other = a_tone(), a_tone(NUM_SAMPLES, 22_050)
    for suffix in (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aac"):
        data = every_format()[suffix]
        many = 2 * NUM_SAMPLES
        problem = "" if suffix == ".aac" else "chained_streams"
        yield Case(f"twice{suffix}", data * 2, (many, many if suffix != ".aac" else many + 4_096), problem=problem)
    mixed = {
        "wav": (sound(tone), sound(other, 22_050), sound(a_tone(channels=2))),
        "ogg": tuple(
            sound(a, rate, container="OGG") for a, rate in ((tone, RATE), (other, 22_050), (a_tone(channels=2), RATE))
        ),
        "mp3": tuple(
            encode(a, rate, container="mp3", codec="libmp3lame")
            for a, rate in ((tone, RATE), (other, 22_050), (a_tone(channels=2), RATE))
        ),
        "aac": tuple(
            encode(a, rate, container="adts", codec="aac")
            for a, rate in ((tone, RATE), (other, 22_050), (a_tone(channels=2), RATE))
        ),
    }
    for suffix, (first, faster, wider) in mixed.items():
        yield Case(f"the rate changes.{suffix}", first + faster, error="must keep its 16000 Hz and 1 channels")
        yield Case(f"the channels change.{suffix}", first + wider, error="must keep its 16000 Hz and 1 channels")
    pages = list(ogg_pages(sound(a_tone(100_000), container="OGG", subtype="VORBIS")))
    holed = b"".join(pages[:3] + pages[4:])
    yield Case("page missing.ogg", holed, (1, 100_000), "x", problem="missing_pages")
    yield Case("no last page.ogg", b"".join(pages[:-1]), (80_000, 99_999), problem="no_end_mark")
    yield Case("empty pages.ogg", ogg_page([], flags=2, samples=0, number=0) * 10_000, error="no audio")


def _not_audio() -> Iterator[Case]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.wav", every_format()[".wav"])
    contents = {
        "nothing": b"",
        "one byte": b"R",
        "zeros": bytes(100_000),
        "ones": b"\xff" * 200_000,
        "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "page": b"<html><body>404 Not Found</body></html>",
        "archive": archive.getvalue(),
        "noise": np.random.default_rng(2).bytes(200_000),
        "headers of frames": b"\xff\xfb\x90\x00" * 50_000,
    }
    for name, data in contents.items():
        for suffix in (".wav", ".mp3", ".flac", ".m4a", ".ogg"):
            yield Case(f"{name}{suffix}", data, error=".")


def _flipped() -> Iterator[Case]:
    """Bytes changed by chance: in the first 200, where headers are, and everywhere."""
    for suffix, data in every_format().items():
        random = np.random.default_rng(sum(suffix.encode()))
        for turn in range(12):
            changed = bytearray(data)
            places = random.integers(0, 200 if turn % 2 else len(data), 1 + turn)
            for place in places:
                changed[place % len(data)] = int(random.integers(256))
            yield Case(f"flipped {turn}{suffix}", bytes(changed), (0, 1 << 40), "x")


GROUPS = {
    "cut short": _cut_short,
    "wav sizes": _wav_sizes,
    "wav chunks": _wav_chunks,
    "headers": _headers,
    "surrounded": _surrounded,
    "renamed": _renamed,
    "short": _short,
    "not numbers": _not_numbers,
    "tags": _tags,
    "playlists": _playlists,
    "movies": _movies,
    "lengths": _lengths,
    "chained": _chained,
    "not audio": _not_audio,
}
"""Those that take no time."""


def read_case(case: Case, folder: Path) -> dict[str, Any]:
    """What reading it gives."""
    path = folder / case.name.replace("/", "_")
    path.write_bytes(case.data)
    problems, num_samples, error = list[Problem](), 0, ""
    try:
        probe(path)
        for block_CN in read_blocks(path, problems=problems):
            num_samples += block_CN.shape[1]
    except DataError as raised:
        error = str(raised)
    path.unlink()
    return {"name": case.name, "num_samples": num_samples, "error": error, "problems": [p.kind for p in problems]}


def read_all(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "secret.wav").write_bytes(every_format()[".wav"])
    for case in cases():
        print(json.dumps(read_case(case, folder)), flush=True)
    print(json.dumps({"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024}))


if __name__ == "__main__":
    read_all(Path(sys.argv[1]))
