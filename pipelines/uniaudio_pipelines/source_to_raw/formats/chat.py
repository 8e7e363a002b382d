"""CHAT, the transcripts of TalkBank and CHILDES (.cha): utterances with their speakers, and times between two control characters.

Reads    *FAT:	hello there Ross . ␕500_1500␕            (U+0015 around milliseconds; a line that begins with a tab goes on)
         %mor:	co|hello …
Row out  Label(path="a.wav", start_s=0.5, end_s=1.5, given_text="hello there Ross.", speaker="a FAT", language="en")

What CHAT writes of how something is said (`[/]`, `&-uh`, `xxx`, `+//.`) is taken out of the words.
Source: https://talkbank.org/0info/manuals/CHAT.html
"""

import re
from collections.abc import Iterator

from uniaudio_pipelines.source_to_raw.formats.audio_names import stem_of
from uniaudio_pipelines.source_to_raw.formats.beside import Beside
from uniaudio_pipelines.source_to_raw.formats.columns import language_code
from uniaudio_pipelines.source_to_raw.formats.format import Label, Problem

_TIMES = re.compile("\x15(\\d+)_(\\d+)\x15")
_UNHEARD = re.compile(r"(?<!\w)(?:xxx|yyy|www)(?!\w)")
"""Words that nobody understood, or that nobody wrote down."""
_CODES = re.compile(r"\[[^\]]*\]|&[=~+-]?[^\s]*|\+[^\s\w]*[<,^]?|(?<!\w)0\w*|[<>‹›↑↓„‡]|\x15[^\x15]*\x15")
_BRACKETS = re.compile(r"[()]")
"""Around letters that were left out: `(be)cause`."""
_FORM = re.compile(r"(?<=\w)@\w[\w:]*")
"""What kind of word it is: `doggie@f`."""
_END = re.compile(r"\s+([.?!])\s*$")


def chat(one: Beside) -> Iterator[Label | Problem]:
    language, num_timed = None, 0
    for number, line in _lines(one.text):
        head, _, rest = line.partition(":")
        if head == "@Languages":
            language = language_code(rest.split(",")[0].strip()) or None
        if not head.startswith("*"):
            continue
        times = _TIMES.findall(rest)
        if not times:
            continue
        num_timed += 1
        start_s, end_s = int(times[0][0]) / 1000, int(times[-1][1]) / 1000
        text = _words(rest)
        if end_s <= start_s:
            detail = f"line {number}: an utterance must end behind its beginning: {times[0][0]} to {times[-1][1]}"
            yield Problem(path=one.file, reason="bad_times", detail=detail)
        else:
            yield Label(
                path=one.path, start_s=start_s, end_s=end_s, given_text=text or None, domain="speech", language=language,
                # Codes of roles are those of every recording: each has its mother.
                speaker=f"{stem_of(one.path)} {head[1:].strip()}", said_by=one.file,
            )  # fmt: skip
    if not num_timed:
        yield Problem(path=one.file, reason="no_labels", detail="must hold utterances with times, but has none")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line, with the lines behind it that go on with it."""
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("\t") and lines:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {line.strip()}")
        else:
            lines.append((number, line))
    yield from lines


def _words(said: str) -> str:
    text = _FORM.sub("", _BRACKETS.sub("", _CODES.sub(" ", said)))
    text = _UNHEARD.sub("<unk>", text.replace("_", " "))
    return _END.sub(r"\1", " ".join(text.split())).strip()
