"""Prompts of festvox, as CMU ARCTIC and the voices of Festival have them: `etc/txt.done.data` beside `wav`.

Reads    ( arctic_a0001 "Author of the danger trail, Philip Steels, etc." )
Row out  Label(path="wav/arctic_a0001.wav", utterance="arctic_a0001", given_text="Author of the danger trail, Philip Steels, etc.")

Source: http://festvox.org/cmu_arctic/
"""

import posixpath
import re
from collections.abc import Iterator
from typing import ClassVar

from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames, audio_names
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import first_line, read_lines

_NAMES = re.compile(r"(txt\.done\.data.*|.*\.data|prompts.*)", re.IGNORECASE)
_PROMPT = re.compile(r"""\(\s*(\S+)\s+"(.*)"\s*\)\s*""")


class Festvox:
    """Every list of prompts; a corpus of several voices has one each."""

    name: ClassVar[str] = "festvox"

    def claim(self, folder: Folder) -> Claim | None:
        candidates = [path for path in folder.paths if _NAMES.fullmatch(posixpath.basename(path))]
        files = tuple(path for path in candidates if _PROMPT.fullmatch(first_line(folder, path)))
        if not files or audio_names(folder).is_empty:
            return None
        return Claim(
            format=self.name, label_files=files, summary=f"festvox: {', '.join(files[:3])}", details={"files": files}
        )

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        names = audio_names(folder)
        for file in claim.details["files"]:
            for line in read_lines(folder, file):
                if isinstance(line, Problem):
                    yield line
                elif match := _PROMPT.fullmatch(line.text.strip()):
                    text = match[2].replace('\\"', '"')
                    path = _find(names, file, match[1])
                    yield Label(path=path, utterance=match[1], given_text=text or None, domain="speech", said_by=file)
                else:
                    detail = f"line {line.number}: must be a name and its text in brackets, but is {line.text[:60]}"
                    yield Problem(path=file, reason="bad_line", detail=detail)


def _find(names: AudioNames, file: str, name: str) -> str:
    """The sound beside the list's folder: another voice of the corpus says the same sentences under the same names."""
    voice = posixpath.dirname(posixpath.dirname(file))
    for folder in ("wav", "wavs", ""):
        if path := names.beside(posixpath.join(voice, folder).rstrip("/"), name):
            return path
    return names.find(name) or posixpath.join(voice, "wav", f"{name}.wav")
