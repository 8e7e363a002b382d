"""Recognize an audio file by its contents, and plan how it is read to its end.

Reads   the first bytes, behind tags and junk; the headers of pages, chunks, boxes and frames where a format has them
Gives   the format and its parts, for instance `("mp3", Layout(parts=[Part(pieces=((45, 31796),), demuxer="mp3", …)]))`

The suffix counts only for formats without any mark (raw G.722, GSM); where it says otherwise than the contents, that is a
recorded problem. FFmpeg never recognizes anything itself: one of the formats it would recognize, a playlist, opens other
files. Formats whose streams turn up in mid-file (MPEG-TS, FLV) are not read: PyAV 18 looks behind its table of streams then.
"""

from dataclasses import dataclass
from typing import Any

from uniaudio_schemas.errors import DataError

from uniaudio.audio import boxes, elementary, flac, ogg, plain_headers, wav
from uniaudio.audio.part import Layout, Part
from uniaudio.audio.tags import Window, skip_tags

_JUNK_REACH = 1 << 16
"""Bytes in front of the audio that are searched: the headers of a web server's answer, a block of a broken disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    suffixes: str
    """Suffixes in lower case, with spaces between them."""
    demuxer: str | None = None
    """FFmpeg's demuxer; None where libsndfile reads the format or the parts differ."""


FORMATS = {
    "wav": Format(suffixes=".wav .wave .rf64 .bwf"),
    "w64": Format(suffixes=".w64"),
    "aiff": Format(suffixes=".aif .aiff .aifc"),
    "au": Format(suffixes=".au .snd"),
    "caf": Format(suffixes=".caf"),
    "sphere": Format(suffixes=".sph .nist .wv1 .wv2 .wav"),
    "flac": Format(suffixes=".flac"),
    "ogg": Format(suffixes=".ogg .oga .opus .ogv .ogx .spx"),
    "mpeg": Format(suffixes=".mp3 .mp2 .mp1 .mpga"),
    "adts": Format(suffixes=".aac .adts", demuxer="aac"),
    "mp4": Format(suffixes=".m4a .mp4 .m4b .m4v .mov .3gp .3g2", demuxer="mov"),
    "matroska": Format(suffixes=".mka .mkv .webm .weba", demuxer="matroska"),
    "asf": Format(suffixes=".wma .asf .wmv", demuxer="asf"),
    "amr": Format(suffixes=".amr .awb", demuxer="amr"),
    "ac3": Format(suffixes=".ac3", demuxer="ac3"),
    "eac3": Format(suffixes=".eac3 .ec3", demuxer="eac3"),
    "wavpack": Format(suffixes=".wv", demuxer="wv"),
    "tta": Format(suffixes=".tta", demuxer="tta"),
    "ape": Format(suffixes=".ape", demuxer="ape"),
    "avi": Format(suffixes=".avi", demuxer="avi"),
    "g722": Format(suffixes=".g722", demuxer="g722"),
    "gsm": Format(suffixes=".gsm", demuxer="gsm"),
}
"""Every format that is read. Of the last two nothing but the suffix tells."""
_WITHOUT_MARK = ("g722", "gsm")
_LOSSLESS = ("wavpack", "tta", "ape")
_PROMISING = (*_LOSSLESS, "mp4", "matroska", "asf", "avi")
"""Formats of FFmpeg's that say how long they are; for the others it estimates."""
_MARKS = {
    b"fLaC": "flac",
    b".snd": "au",
    b"dns.": "au",
    b"caff\0\1": "caf",
    b"NIST_1A": "sphere",
    b"OggS\0": "ogg",
    b"\x1a\x45\xdf\xa3": "matroska",
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"): "asf",
    b"#!AMR": "amr",
    b"wvpk": "wavpack",
    b"TTA1": "tta",
    b"MAC ": "ape",
    bytes.fromhex("726966662e91cf11a5d628db04c10000"): "w64",
}
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof")


def audio_suffixes() -> frozenset[str]:
    """Lower-case suffixes of the formats above."""
    return frozenset(suffix for format_ in FORMATS.values() for suffix in format_.suffixes.split())


def lay_out(file: Any, name: str, suffix: str, *, whole: bool) -> tuple[str, Layout]:
    """The name of the file's format (a key of `FORMATS`), and the plan. `suffix` is lower-case; `whole` is whether the
    file will be read to its end.
    """
    stop = file.seek(0, 2)
    window, layout = Window(file, stop), Layout()
    format_name, start = _recognize(file, window, name, suffix)
    if suffix in audio_suffixes() and suffix not in FORMATS[format_name].suffixes.split():
        layout.note("wrong_suffix", f"{format_name}, not {suffix}")
    if start and (junk := window.count_junk(skip_tags(window, 0), start)):
        layout.note("junk_before_audio", f"{junk} bytes")
    _fill(file, format_name, start, stop, name, layout, whole=whole)
    return format_name, layout


def _recognize(file: Any, window: Window, name: str, suffix: str) -> tuple[str, int]:
    """The format, and where it begins."""
    start = skip_tags(window, 0)
    if marked_format := _by_mark(window.at(start, 1 << 10)):
        return marked_format, start
    for format_name in _WITHOUT_MARK:
        if suffix in FORMATS[format_name].suffixes.split():
            return format_name, 0
    search = min(start + _JUNK_REACH, window.stop)
    candidates = [*_marks_behind_junk(window.at(start, search - start), start)]
    for format_name, syntax in (("mpeg", elementary.MPEG), ("adts", elementary.ADTS)):
        first = elementary.Walker(file, syntax, window.stop).find(start, search)
        if first is not None:
            candidates.append((first, format_name))
    if not candidates:
        raise DataError(f"{name}: is not an audio file that can be read: Format not recognised by its contents.")
    first, format_name = min(candidates)
    return format_name, first


def _by_mark(head: bytes) -> str | None:
    """The format that begins with `head`; frames without a mark are looked for elsewhere."""
    for mark, format_name in _MARKS.items():
        if head.startswith(mark):
            return format_name
    if wav.is_wav(head):
        return "wav"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] in _MP4_BOXES:
        return "mp4"
    if head[:2] == b"\x0b\x77" and len(head) > 5:
        return "eac3" if head[5] >> 3 > 10 else "ac3"  # the version of the bit stream
    return None


def _marks_behind_junk(data: bytes, start: int) -> list[tuple[int, str]]:
    """Where marks lie that are long enough not to be there by chance."""
    marks = list[tuple[int, str]]()
    for mark in (
        b"RIFF",
        b"RIFX",
        b"RF64",
        b"FORM",
        b"OggS\0\2",
        b"\x1a\x45\xdf\xa3",
        flac.MARK,
        b"NIST_1A\n",
        b"ftyp",
        b"#!AMR\n",
    ):
        inside = data.find(mark)
        inside -= 4 * (mark == b"ftyp")
        format_name = _by_mark(data[inside : inside + 1_024]) if inside >= 0 else None
        if format_name:
            marks.append((start + inside, format_name))
    return marks


def _fill(file: Any, form: str, start: int, stop: int, name: str, layout: Layout, *, whole: bool) -> None:
    if form == "wav":
        mpeg_range = wav.lay_out_wav(file, start, stop, name, layout)
        if mpeg_range:
            elementary.lay_out_frames(file, elementary.MPEG, mpeg_range, name, layout)
    elif form in _PLAIN:
        _PLAIN[form](file, start, stop, name, layout)
    elif form == "flac":
        flac.lay_out_flac(file, start, stop, layout, whole=whole)
    elif form in ("mpeg", "adts"):
        syntax = elementary.MPEG if form == "mpeg" else elementary.ADTS
        elementary.lay_out_frames(file, syntax, (start, stop), name, layout)
    else:
        _lay_out_container(file, form, start, stop, name, layout)


def _lay_out_container(file: Any, form: str, start: int, stop: int, name: str, layout: Layout) -> None:
    end, is_finished = stop, True
    if form == "mp4":
        end = boxes.check_mp4(file, start, stop, name)
        if junk := Window(file, stop).count_junk(end, stop):
            layout.note("junk_behind_audio", f"{junk} bytes")
    elif form == "matroska":
        boxes.check_matroska(file, start, stop, name)
    elif form in ("asf", "avi"):
        check = boxes.check_asf if form == "asf" else boxes.check_avi
        is_finished = check(file, start, stop, name)
    if not is_finished:
        layout.note("unknown_length", "its header was never finished")
    part = Part(
        pieces=((start, end),),
        demuxer=FORMATS[form].demuxer,
        container_promises=form in _PROMISING and is_finished,
        is_exact=form in _LOSSLESS,
    )
    layout.parts.append(part)


_PLAIN = {
    "aiff": plain_headers.lay_out_aiff,
    "au": plain_headers.lay_out_au,
    "caf": plain_headers.lay_out_caf,
    "w64": plain_headers.lay_out_w64,
    "sphere": plain_headers.lay_out_sphere,
    "ogg": ogg.lay_out_ogg,
}
