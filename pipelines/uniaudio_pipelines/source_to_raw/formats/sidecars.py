"""Files beside a sound that are called like it: transcripts, subtitles, alignments.

Reads    talk.wav beside talk.txt, .lab, .json, .srt, .vtt, .lrc, .TextGrid, .ctm, .stm, .wrd (or in another folder: wav/talk.wav, txt/talk.txt);
         a text is words, or lines with times
Row out  Label(path="talk.wav", given_text="Good evening.")
         Label(path="talk.wav", start_s=1.2, end_s=3.4, given_text="Good evening.")     of a subtitle
"""

import posixpath
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.alignments import lab, recordings, samples
from uniaudio_pipelines.source_to_raw.formats.audio_names import audio_names, is_audio
from uniaudio_pipelines.source_to_raw.formats.beside import Beside, Read
from uniaudio_pipelines.source_to_raw.formats.columns import label, meanings
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import json_object
from uniaudio_pipelines.source_to_raw.formats.nested import stretches
from uniaudio_pipelines.source_to_raw.formats.subtitles import lyrics, subtitles
from uniaudio_pipelines.source_to_raw.formats.textgrid import textgrid
from uniaudio_pipelines.source_to_raw.formats.timed_lines import timed_lines
from uniaudio_pipelines.source_to_raw.formats.whole_texts import read_text


def _text(one: Beside) -> Iterator[Label | Problem]:
    timed = timed_lines(one)
    if timed is not None:
        yield from timed
        return
    words = one.text.split()
    if len(words) > 2 and words[0].isdecimal() and words[1].isdecimal():
        # TIMIT writes the first and the last sample in front, and many pass it on without its alignments.
        is_whole = words[0] == "0" and int(words[1]) >= _FEWEST_SAMPLES
        words = words[2:] if is_whole or one.has_sample_times else words
    if words:
        yield Label(path=one.path, given_text=" ".join(words), said_by=one.file)
    else:
        yield Problem(path=one.file, reason="empty", detail="no text")


def _written(one: Beside) -> Iterator[Label | Problem]:
    """LibriTTS's text before it was normalized."""
    if one.text:
        yield Label(
            path=one.path, facts=(Fact(name="written_text", value=" ".join(one.text.split())),), said_by=one.file
        )


def _json(one: Beside) -> Iterator[Label | Problem]:
    values = json_object(one.text)
    if values is None:
        yield Problem(path=one.file, reason="not_json", detail="must be one JSON object")
        return
    rows = [values]
    if "given_text" not in meanings(list(values), one.folder, "").values():
        # What Whisper writes has the text of the whole as well.
        rows = list(stretches(values))
    try:
        for row in rows:
            yield label(one.path, row, meanings(list(row), one.folder, ""), one.folder, one.file, None)
    except ValueError as error:
        yield Problem(path=one.file, reason="bad_metadata", detail=str(error))


_READERS: dict[str, Read] = {
    ".normalized.txt": _text, ".original.txt": _written, ".txt": _text, ".transcript": _text, ".text": _text, ".lab": lab, ".json": _json,
    ".srt": subtitles, ".vtt": subtitles, ".lrc": lyrics, ".textgrid": textgrid, ".ctm": recordings, ".stm": recordings, ".wrd": samples, ".phn": samples,
}  # fmt: skip
"""Reader by the end of the file name; longer ends come first."""
_FEWEST_SAMPLES = 1_000
"""Fewest samples of a sentence; a text may begin with `0 10`."""
_OF_RECORDINGS = (".ctm", ".stm")
"""Ends of files that name recordings in their lines, and may speak of several."""


class Sidecars:
    """Labels from every file that is called like a sound."""

    name: ClassVar[str] = "sidecars"

    def claim(self, folder: Folder) -> Claim | None:
        names = audio_names(folder)
        if names.is_empty:
            return None
        sidecars: list[tuple[str, str, str]] = []
        for file in folder.paths:
            end = next((end for end in _READERS if file.lower().endswith(end)), None)
            if end is None or is_audio(file):
                continue
            parent, name = posixpath.split(file)
            stem = name[: -len(end)]
            path = names.beside(parent, stem) or names.find(stem) or names.mirrored(parent, stem) if stem else None
            if path or end in _OF_RECORDINGS:
                sidecars.append((file, end, path or ""))
        if not sidecars:
            return None
        counts = Counter(end for _, end, _ in sidecars)
        summary = "beside the sounds: " + ", ".join(f"{count} *{end}" for end, count in sorted(counts.items()))
        return Claim(
            format=self.name,
            label_files=tuple(file for file, _, _ in sidecars),
            summary=summary,
            details={"files": sidecars},
        )

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        names = audio_names(folder)
        for file, end, path in claim.details["files"]:
            text = read_text(folder, file)
            if isinstance(text, Problem):
                yield text
                continue
            yield from _READERS[end](Beside(folder=folder, names=names, path=path, file=file, text=text))
