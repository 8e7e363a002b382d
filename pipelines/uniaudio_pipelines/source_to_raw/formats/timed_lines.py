"""Lines with times in a plain text beside a sound: labels of Audacity, what Whisper prints, and calls of Fisher. Each line is a stretch.

Reads    0.250000<TAB>1.250000<TAB>hello there    or    [00:00.250 --> 00:01.250]  Hello there.    or    0.25 1.25 A: hello there
Row out  Label(path="talk.wav", start_s=0.25, end_s=1.25, given_text="hello there")
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from uniaudio_pipelines.source_to_raw.formats.beside import Beside
from uniaudio_pipelines.source_to_raw.formats.columns import clock
from uniaudio_pipelines.source_to_raw.formats.format import Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import finite

_AUDACITY = re.compile(r"(\d+(?:[.,]\d+)?)\t(\d+(?:[.,]\d+)?)(?:\t(.*))?")
_SIDES = re.compile(r"(\d+\.\d+)\s+(\d+\.\d+)\s+([A-Z])\d?:(.*)")
"""Fisher's: seconds, and the side of a telephone call."""
_COMMENT = re.compile(r"#.*")
_FREQUENCIES = re.compile(r"\\\t.*")
"""Line of frequencies below a label that Audacity's user drew in a spectrogram."""
_WHISPER = re.compile(r"\[([\d:.,]+)\s*-->\s*([\d:.,]+)\](.*)")


def timed_lines(one: Beside) -> Iterator[Label | Problem] | None:
    """Labels of lines with times. None where not every line has them: then it is a text that somebody wrote."""
    lines = [line for line in one.text.split("\n") if line.strip() and not _FREQUENCIES.fullmatch(line)]
    for form in (_AUDACITY, _WHISPER):
        matches = [form.fullmatch(line.strip(" ")) for line in lines]
        if lines and all(matches):
            return _labels(one, [match.groups() for match in matches if match])
    matches = [_SIDES.fullmatch(line.strip()) for line in lines if not _COMMENT.fullmatch(line)]
    return _sides(one, [match.groups() for match in matches if match]) if matches and all(matches) else None


def _sides(one: Beside, rows: list[tuple[str, ...]]) -> Iterator[Label | Problem]:
    """Labels of the sides of a call: each is a channel where the sound has two."""
    sound = one.sound
    for start, end, side, said in rows:
        for label in _labels(one, [(start, end, said)]):
            if isinstance(label, Label):
                channel = ord(side) - ord("A") if sound and sound.channels == 2 and side in "AB" else None
                label = replace(label, speaker=side, channel=channel, domain="speech")
            yield label


def _labels(one: Beside, rows: list[tuple[str | None, ...]]) -> Iterator[Label | Problem]:
    for start, end, said in rows:
        start_s, end_s = _seconds(start), _seconds(end)
        text = " ".join((said or "").split())
        if start_s is None or end_s is None or end_s <= start_s:
            detail = f"a label must end behind its beginning: {start} to {end}, {text[:40]}"
            yield Problem(path=one.file, reason="bad_times", detail=detail)
        elif text:
            yield Label(path=one.path, start_s=start_s, end_s=end_s, given_text=text, said_by=one.file)


def _seconds(said: str | None) -> float | None:
    text = (said or "").replace(",", ".")
    return clock(text) if ":" in text else finite(text)
