"""LJSpeech and what is laid out like it: `metadata.csv` with bars, names without suffix, the normalized text last.

Reads    LJ001-0001|Printing, in 1455|Printing, in fourteen fifty-five
Row out  Label(path="wavs/LJ001-0001.wav", utterance="LJ001-0001", recording="LJ001", given_text="Printing, in fourteen fifty-five",
               facts=(Fact(name="written_text", value="Printing, in 1455"),))

Source: https://keithito.com/LJ-Speech-Dataset/
"""

import posixpath
import re
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames, audio_names, is_audio
from uniaudio_pipelines.source_to_raw.formats.columns import PATHS, plain
from uniaudio_pipelines.source_to_raw.formats.delimited import rows
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem

_CHAPTER = re.compile(r"(LJ\d+)-\d+")
_ABOUT = re.compile(r"(?:^|/)(README|LICENSE)[^/]*$", re.IGNORECASE)
_SAMPLE = 20


class LJSpeech:
    """One `metadata.csv` or several, each beside its `wavs`."""

    name: ClassVar[str] = "ljspeech"

    def claim(self, folder: Folder) -> Claim | None:
        candidates = [path for path in folder.paths if posixpath.basename(path).lower() == "metadata.csv"]
        if not candidates:
            return None
        names = audio_names(folder)
        tables = [path for path in candidates if self._is_one(folder, path, names)]
        if not tables:
            return None
        about = [path for path in folder.paths if _ABOUT.search(path) and not is_audio(path)]
        return Claim(
            format=self.name,
            label_files=(*tables, *about),
            summary=f"LJSpeech: {', '.join(tables[:3])}, texts in the last column",
            details={"files": tables},
        )

    def _is_one(self, folder: Folder, file: str, names: AudioNames) -> bool:
        sample = list(islice(rows(folder, file, "|"), _SAMPLE))
        fields = [row[1] for row in sample if not isinstance(row, Problem)]
        # With suffixes, with more columns or with speakers between name and text, it is a table like others.
        fits = bool(fields) and all(len(row) in (2, 3) and not is_audio(row[0]) for row in fields)
        return fits and not _has_speakers(fields) and any(_find(folder, file, row[0], names) for row in fields)

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        names = audio_names(folder)
        for file in claim.details["files"]:
            for row in rows(folder, file, "|"):
                if isinstance(row, Problem):
                    yield row
                    continue
                number, (name, *texts) = row
                if number == 1 and plain(name) in PATHS and _find(folder, file, name, names) is None:
                    continue
                if not 1 <= len(texts) <= 2:
                    detail = f"line {number}: must be a name and one or two texts, but has {len(texts) + 1} fields"
                    yield Problem(path=file, reason="bad_line", detail=detail)
                    continue
                path = _find(folder, file, name, names) or posixpath.join(
                    posixpath.dirname(file), "wavs", f"{name}.wav"
                )
                chapter = _CHAPTER.fullmatch(name)
                text, written = texts[-1].strip() or texts[0].strip(), texts[0].strip()
                yield Label(
                    path=path, utterance=name, recording=chapter[1] if chapter else None, given_text=text or None, domain="speech",
                    facts=(Fact(name="written_text", value=written),) if written != text else (), said_by=file,
                )  # fmt: skip


def _has_speakers(fields: list[list[str]]) -> bool:
    """Whether the second of three columns is one word that comes again, and the third is more."""
    middle = [row[1].strip() for row in fields if len(row) == 3]
    if not middle or any(len(word.split()) != 1 for word in middle) or len(set(middle)) == len(middle):
        return False
    return sum(len(row[2].split()) for row in fields if len(row) == 3) > len(middle)


def _find(folder: Folder, file: str, name: str, names: AudioNames) -> str | None:
    parent = posixpath.dirname(file)
    if not name or "/" in name:
        return None
    return names.beside(posixpath.join(parent, "wavs"), name) or names.beside(parent, name) or names.find(name)
