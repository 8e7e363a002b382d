"""Subtitles: SubRip (.srt), WebVTT (.vtt) and YouTube's .sbv; and lyrics with times (.lrc). Each cue is a stretch of the sound.

Reads    00:00:01,200 --> 00:00:03,400
         <v Ann>Good evening.
Row out  Label(path="talk.wav", start_s=1.2, end_s=3.4, given_text="Good evening.", speaker="Ann")

Automatic captions roll: each cue repeats the line before it, and has the words that are spoken in the line below.
Source: https://www.w3.org/TR/webvtt1/
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from uniaudio_pipelines.source_to_raw.formats.beside import Beside
from uniaudio_pipelines.source_to_raw.formats.columns import clock
from uniaudio_pipelines.source_to_raw.formats.format import Label, Problem

_TIMES = re.compile(r"^\s*([\d:.,]+?)\s*(?:-->|,(?=\d+:))\s*([\d:.,]+)")
_VTT = "WEBVTT"
_VOICE = re.compile(r"<v(?:\.\w+)*\s+([^>]+)>")
_INLINE = re.compile(r"</?c(?:\.[\w.-]+)*>|<\d+:[\d:.]+>|</v>")
"""Marks of colours, times of words, and ends of voices."""
_BREAK = "[br]"
"""A line break of .sbv."""
_LYRIC = re.compile(r"((?:\[\d+:\d+(?:[.:]\d+)?\])+)(.*)")
_LYRIC_TIME = re.compile(r"\[([^\]]*)\]")
_WORD_TIME = re.compile(r"<\d+:\d+(?:[.:]\d+)?>")


def lyrics(one: Beside) -> Iterator[Label | Problem]:
    """A line lasts until the next one begins; a line of several times is sung as often."""
    lines: list[tuple[float, str]] = []
    for line in one.text.split("\n"):
        if match := _LYRIC.match(line.strip()):
            starts = [clock(time.replace(".", ",")) for time in _LYRIC_TIME.findall(match[1])]
            lines += [(start_s, _WORD_TIME.sub("", match[2])) for start_s in starts if start_s is not None]
    lines.sort()
    if not lines:
        yield Problem(path=one.file, reason="no_labels", detail="must hold lines with times, but has none")
    ends: list[float | None] = [start_s for start_s, _ in lines[1:]]
    for (start_s, text), end_s in zip(lines, [*ends, None], strict=True):
        if text.strip() and (end_s is None or end_s > start_s):
            said = " ".join(text.split())
            yield Label(path=one.path, start_s=start_s, end_s=end_s, given_text=said, said_by=one.file)


@dataclass(frozen=True, slots=True)
class _Cue:
    times: str
    lines: list[str]
    """Those with a text, without inline marks but those of voices."""


def subtitles(one: Beside) -> Iterator[Label | Problem]:
    cues = list(_cues(one.text))
    for cue in _unrolled(cues):
        match = _TIMES.match(cue.times)
        start_s, end_s = (clock(time) for time in match.groups()) if match else (None, None)
        text = " ".join(cue.lines)
        if start_s is None or end_s is None or end_s <= start_s:
            detail = f"a cue must end behind its beginning: {cue.times[:60]}"
            yield Problem(path=one.file, reason="bad_times", detail=detail)
        elif text:
            voices = list(dict.fromkeys(voice.strip() for voice in _VOICE.findall(text)))
            yield Label(
                path=one.path, start_s=start_s, end_s=end_s, given_text=_VOICE.sub("", text).strip() or None,
                # Words of two people are neither's.
                speaker=voices[0] if len(voices) == 1 else None, domain="speech", said_by=one.file,
            )  # fmt: skip
    if not cues:
        yield Problem(path=one.file, reason="no_labels", detail="must hold cues with times, but has none")


def _cues(text: str) -> Iterator[_Cue]:
    """A cue lasts until the next line of times, or, in WebVTT, until a line without any character."""
    lines = text.split("\n")
    starts = [index for index, line in enumerate(lines) if _TIMES.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        inside = lines[start + 1 : end]
        if end < len(lines) and inside and (inside[-1].strip().isdecimal() or inside[-2:-1] == [""]):
            # The number, or the name, of the next cue.
            inside.pop()
        if text.startswith(_VTT) and "" in inside:
            inside = inside[: inside.index("")]
        plain = (" ".join(_INLINE.sub("", line.replace(_BREAK, " ")).split()) for line in inside)
        yield _Cue(lines[start], [line for line in plain if line])


def _unrolled(cues: list[_Cue]) -> Iterator[_Cue]:
    """The cues without the line that each of them repeats, where they do so."""
    pairs = list(zip([_Cue("", []), *cues], cues, strict=False))
    num_repeated = sum(before.lines[-1:] == cue.lines[:1] and len(cue.lines) > 1 for before, cue in pairs)
    for before, cue in pairs:
        repeats = num_repeated > 1 and before.lines[-1:] == cue.lines[:1]
        yield _Cue(cue.times, cue.lines[1:]) if repeats else cue
