"""LibriSpeech and what is laid out like it: a `<speaker>-<chapter>.trans.txt` in the folder of each chapter.

Reads    dev-clean/8000/1200/8000-1200.trans.txt   8000-1200-0000 I'M SORRY
         SPEAKERS.TXT                              8000 | F | dev-clean | 8.0 | Reader A
Row out  Label(path="dev-clean/8000/1200/8000-1200-0000.flac", given_text="I'M SORRY", speaker="8000", recording="8000-1200",
               split="val", facts=(Fact(name="gender", value="F"),))

Source: https://www.openslr.org/12
"""

import posixpath
import re
from collections.abc import Iterator
from typing import ClassVar

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames, audio_names
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import read_lines

_TRANSCRIPT = re.compile(r"(?:^|/)([^/]+?)-([^/-]+)\.trans\.txt$", re.IGNORECASE)
_ABOUT = re.compile(r"(?:^|/)(README|LICENSE|SPEAKERS|CHAPTERS|BOOKS)\.TXT$", re.IGNORECASE)
_SUBSET = re.compile(r"(train|dev|test)(?:-|_|$)", re.IGNORECASE)


class LibriSpeech:
    """Any number of subsets; a subset's name says its split."""

    name: ClassVar[str] = "librispeech"

    def claim(self, folder: Folder) -> Claim | None:
        transcripts = [path for path in folder.paths if _TRANSCRIPT.search(path)]
        if not transcripts:
            return None
        about = [path for path in folder.paths if _ABOUT.search(path)]
        speakers = [path for path in about if posixpath.basename(path).upper() == "SPEAKERS.TXT"]
        summary = f"LibriSpeech: {len(transcripts)} chapters of *.trans.txt" + (", SPEAKERS.TXT" if speakers else "")
        return Claim(
            format=self.name,
            label_files=(*transcripts, *about),
            summary=summary,
            details={"files": transcripts, "speakers": speakers},
        )

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        genders: dict[str, str] = {}
        for file in claim.details["speakers"]:
            for line in read_lines(folder, file):
                if isinstance(line, Problem):
                    yield line
                elif not line.text.startswith(";"):
                    fields = [field.strip() for field in line.text.split("|")]
                    if len(fields) > 1:
                        genders[fields[0]] = fields[1]
        names = audio_names(folder)
        for file in claim.details["files"]:
            yield from self._chapter(folder, file, genders, names)

    def _chapter(
        self, folder: Folder, file: str, genders: dict[str, str], names: AudioNames
    ) -> Iterator[Label | Problem]:
        match = _TRANSCRIPT.search(file)
        assert match is not None
        speaker, chapter = match.groups()
        parent, split = posixpath.dirname(file), _split(folder, file)
        gender = genders.get(speaker)
        for line in read_lines(folder, file):
            if isinstance(line, Problem):
                yield line
                continue
            utterance, _, text = line.text.strip().partition(" ")
            path = names.beside(parent, utterance) or posixpath.join(parent, f"{utterance}.flac")
            yield Label(
                path=path, utterance=utterance, recording=f"{speaker}-{chapter}", speaker=speaker, given_text=text.strip() or None,
                domain="speech", split=split, facts=(Fact(name="gender", value=gender),) if gender else (),
                said_by=posixpath.basename(file),
            )  # fmt: skip


def _split(folder: Folder, file: str) -> str | None:
    """Split of the nearest folder that is called like a subset, where the corpus's own folder counts too."""
    for part in (*reversed(file.split("/")[:-1]), folder.root.name):
        if folder.card.splits and part in folder.card.splits:
            return folder.split(part)
        if match := _SUBSET.match(part):
            return folder.split(match[1])
    return None
