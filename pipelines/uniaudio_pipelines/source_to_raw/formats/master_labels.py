"""HTK's master label files (.mlf): the labels of many sounds in one file.

Reads    #!MLF!#
         "*/a.lab"
         0 5000000 sil
         5000000 10000000 hello
         .
Row out  Label(path="a.wav", given_text="hello", given_words=(GivenTime(word="hello", start_s=0.5, duration_s=0.5),))

Times count 100 ns; labels without them are the words of the whole sound.
Source: HTK Book 3.5, chapter 6.3
"""

import posixpath
import re
from collections.abc import Iterator
from typing import ClassVar

from uniaudio_pipelines.source_to_raw.formats.alignments import words_of
from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames, audio_names, stem_of, suffix_of
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import first_line, read_lines

_HEAD = "#!MLF!#"
_NAME = re.compile(r'"([^"]+)"\s*')
_TIMED = re.compile(r"(\d+)\s+(\d+)\s+(\S+).*")
_UNIT = 1e7
_MAX_LABELS = 1_000_000
"""Labels of one sound."""


class MasterLabels:
    """Every file that begins as HTK's do."""

    name: ClassVar[str] = "mlf"

    def claim(self, folder: Folder) -> Claim | None:
        files = tuple(
            path for path in folder.paths if suffix_of(path) == ".mlf" and first_line(folder, path).strip() == _HEAD
        )
        if not files or audio_names(folder).is_empty:
            return None
        return Claim(format=self.name, label_files=files, summary=f"HTK: {', '.join(files[:3])}")

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        names = audio_names(folder)
        for file in claim.label_files:
            name, lines = "", list[str]()
            for line in read_lines(folder, file):
                text = "" if isinstance(line, Problem) else line.text.strip()
                if isinstance(line, Problem):
                    yield line
                elif match := _NAME.fullmatch(text):
                    name, lines = match[1], []
                elif text == "." and name:
                    yield _label(names, file, name, lines)
                    name = ""
                elif name and len(lines) < _MAX_LABELS:
                    lines.append(text)
            if name:
                yield Problem(
                    path=file, reason="cut_short", detail=f"labels of {name[:80]} must end with a dot, but do not"
                )


def _label(names: AudioNames, file: str, name: str, lines: list[str]) -> Label:
    stem = stem_of(name)
    path = names.find(stem) or posixpath.join(posixpath.dirname(file), f"{stem}.wav")
    matches = [_TIMED.fullmatch(line) for line in lines]
    if lines and all(matches):
        rows = [(match[3], int(match[1]) / _UNIT, int(match[2]) / _UNIT) for match in matches if match]
        text, words = words_of(rows)
        return Label(path=path, given_text=text, given_words=words, domain="speech", said_by=file)
    text, _ = words_of([(line.split()[0], 0.0, 0.0) for line in lines if line.split()])
    return Label(path=path, given_text=text, domain="speech", said_by=file)
