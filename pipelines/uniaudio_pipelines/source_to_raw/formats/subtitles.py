"""Subtitles: SubRip (.srt) and WebVTT (.vtt). Each cue is a stretch of the sound.

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
