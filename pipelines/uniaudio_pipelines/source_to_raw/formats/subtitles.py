"""Subtitles: SubRip (.srt) and WebVTT (.vtt); and lyrics with times (.lrc). Each cue is a stretch of the sound.

Reads    00:00:01,200 --> 00:00:03,400
         <v Ann>Good evening.
Row out  Label(path="talk.wav", start_s=1.2, end_s=3.4, given_text="Good evening.", speaker="Ann")
"""

import re
from collections.abc import Iterator

from uniaudio_pipelines.source_to_raw.formats.beside import Beside
from uniaudio_pipelines.source_to_raw.formats.columns import clock
from uniaudio_pipelines.source_to_raw.formats.format import Label, Problem

_TIMES = re.compile(r"^\s*([\d:.,]+)\s*-->\s*([\d:.,]+)")
_VOICE = re.compile(r"<v(?:\.\w+)*\s+([^>]+)>")


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


def subtitles(one: Beside) -> Iterator[Label | Problem]:
    num_cues = 0
    for block in re.split(r"\n[ \t]*\n", one.text):
        lines = block.split("\n")
        at = next((index for index, line in enumerate(lines) if _TIMES.match(line)), None)
        if at is None:
            continue
        num_cues += 1
        match = _TIMES.match(lines[at])
        start_s, end_s = (clock(time) for time in match.groups()) if match else (None, None)
        text = " ".join(" ".join(lines[at + 1 :]).split())
        if start_s is None or end_s is None or end_s <= start_s:
            yield Problem(
                path=one.file, reason="bad_times", detail=f"a cue must end behind its beginning: {lines[at][:60]}"
            )
        elif text:
            voice = _VOICE.search(text)
            yield Label(
                path=one.path,
                start_s=start_s,
                end_s=end_s,
                given_text=_VOICE.sub("", text).replace("</v>", "").strip() or None,
                speaker=voice[1].strip() if voice else None,
                domain="speech",
                said_by=one.file,
            )
    if not num_cues:
        yield Problem(path=one.file, reason="no_labels", detail="must hold cues with times, but has none")
