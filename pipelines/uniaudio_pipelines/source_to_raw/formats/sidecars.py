"""Files beside a sound that are called like it: transcripts, subtitles, alignments.

Reads    talk.wav beside talk.txt, .lab, .json, .srt, .vtt, .ass, .lrc, .TextGrid, .eaf, .cha, .ctm, .stm, .rttm, .wrd, …
         (or in another folder: wav/talk.wav, txt/talk.txt); a text is words, or lines with times
Row out  Label(path="talk.wav", given_text="Good evening.")
         Label(path="talk.wav", start_s=1.2, end_s=3.4, given_text="Good evening.")     of a subtitle
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats import timed_tables
from uniaudio_pipelines.source_to_raw.formats.alignments import buckeye, lab, recordings, samples, turns
from uniaudio_pipelines.source_to_raw.formats.audio_names import audio_names, is_audio, stem_of
from uniaudio_pipelines.source_to_raw.formats.beside import Beside, Read
from uniaudio_pipelines.source_to_raw.formats.chat import chat
from uniaudio_pipelines.source_to_raw.formats.columns import language_code
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.json_beside import download, json_beside
from uniaudio_pipelines.source_to_raw.formats.languages import CODES
from uniaudio_pipelines.source_to_raw.formats.styled_subtitles import json3, styled
from uniaudio_pipelines.source_to_raw.formats.subtitles import lyrics, subtitles
from uniaudio_pipelines.source_to_raw.formats.textgrid import textgrid
from uniaudio_pipelines.source_to_raw.formats.timed_lines import timed_lines
from uniaudio_pipelines.source_to_raw.formats.timed_tables import timed_table
from uniaudio_pipelines.source_to_raw.formats.whole_texts import read_text
from uniaudio_pipelines.source_to_raw.formats.xml_transcripts import elan, exmaralda, timed_text, transcriber


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


def _first_line(one: Beside) -> Iterator[Label | Problem]:
    """THCHS-30's words, whose other lines spell them; or NIST's, behind which stands a name in brackets."""
    text = _UTTERANCE.sub("", " ".join(one.text.partition("\n")[0].split()))
    if text.endswith(".trn"):
        yield Problem(path=one.file, reason="beside_audio", detail=f"stands for {text[:80]}")
    else:
        yield Label(path=one.path, given_text=text or None, domain="speech", said_by=one.file)


_READERS: dict[str, Read] = {
    ".info.json": download, ".trn": _first_line,
    ".normalized.txt": _text, ".original.txt": _written, ".transcript.txt": _text, "_transcript.txt": _text, ".txt": _text,
    ".transcript": _text, ".text": _text, ".lab": lab, ".json": json_beside,
    ".srt": subtitles, ".vtt": subtitles, ".sbv": subtitles, ".ass": styled, ".ssa": styled, ".json3": json3, ".lrc": lyrics,
    ".ttml": timed_text, ".dfxp": timed_text, ".textgrid": textgrid, ".eaf": elan, ".exb": exmaralda, ".trs": transcriber, ".cha": chat,
    ".ctm": recordings, ".stm": recordings, ".rttm": turns, ".wrd": samples, ".phn": samples, ".words": buckeye,
    ".csv": timed_table, ".tsv": timed_table,
}  # fmt: skip
"""Reader by the end of the file name; longer ends come first."""
_TURNS = ".rttm"
_SUBTITLES = (".srt", ".vtt", ".sbv", ".ass", ".ssa", ".json3", ".ttml", ".dfxp")
_OF_THE_RECORDING = re.compile(r"(?:speaker|spk|spkr|sprecher|voice|channel|ch)?[ _-]?(?:\d{1,2}|[a-z])", re.IGNORECASE)
"""Speakers that are counted anew in each recording, as those who tell voices apart do (`SPEAKER_00`, `spk_1`, `A`)."""
_UTTERANCE = re.compile(r"\s*\([\w.-]*[\d_-][\w.-]*\)$")
_LANGUAGE = re.compile(rf"(.+)\.((?:{'|'.join(sorted(CODES))})(?:-[A-Za-z0-9]{{2,8}})*)", re.IGNORECASE)
"""Name of a sound, and a language."""
_FEWEST_SAMPLES = 1_000
"""Fewest samples of a sentence; a text may begin with `0 10`."""
_OF_RECORDINGS = (".ctm", ".stm", ".rttm")
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
            if (
                end is None
                or is_audio(file)
                or (end in timed_tables.ENDS and not timed_tables.delimiter_of(folder, file))
            ):
                continue
            parent, name = posixpath.split(file)
            stem = name[: -len(end)]
            path = names.beside(parent, stem) or names.find(stem) if stem else None
            paths = (path,) if path else names.mirrored(parent, stem) if stem else ()
            if not paths and end in _SUBTITLES and (said := _LANGUAGE.fullmatch(stem)):
                path = names.beside(parent, said[1])
                paths = (path,) if path else ()
            sidecars += [(file, end, path) for path in paths or ([""] if end in _OF_RECORDINGS else [])]
        if not sidecars:
            return None
        counts = Counter(end for _, end in {(file, end) for file, end, _ in sidecars})
        summary = "beside the sounds: " + ", ".join(f"{count} *{end}" for end, count in sorted(counts.items()))
        return Claim(
            format=self.name,
            label_files=tuple(dict.fromkeys(file for file, _, _ in sidecars)),
            summary=summary,
            details={"files": sidecars},
        )

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        names = audio_names(folder)
        spoken = _languages(claim.details["files"])
        told = {path for _, end, path in claim.details["files"] if path and end != _TURNS}
        for file, end, path in claim.details["files"]:
            languages = spoken.get(path, {}) if end in _SUBTITLES else {}
            if len(languages) > 1 and languages.get(file) != folder.card.language:
                said = ", ".join(sorted(set(languages.values())))
                detail = f"{path} has subtitles in {said}: `language` of the corpus card says which it speaks"
                yield Problem(path=file, reason="other_language", detail=detail)
                continue
            if end == _TURNS and (path in told or (not path and told)):
                # Its turns would cut a recording whose words others tell.
                yield Problem(path=file, reason="other_labels", detail="says who speaks when, beside labels with words")
                continue
            text = read_text(folder, file)
            if isinstance(text, Problem):
                yield text
                continue
            for one in _READERS[end](Beside(folder=folder, names=names, path=path, file=file, text=text)):
                if isinstance(one, Label):
                    one = replace(one, speaker=_speaker(one), language=languages.get(file, one.language))
                yield one


def _speaker(label: Label) -> str | None:
    """Who speaks in a stretch; a number or a letter is one of the recording's own."""
    name, is_stretch = label.speaker, label.end_s is not None or label.start_s > 0
    return f"{stem_of(label.path)} {name}" if name and is_stretch and _OF_THE_RECORDING.fullmatch(name) else name


def _languages(sidecars: Sequence[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Sound -> file of subtitles -> its language, where the file's name says it: `talk.en.vtt`, as downloads are called."""
    languages: dict[str, dict[str, str]] = {}
    for file, end, path in sidecars:
        said = _LANGUAGE.fullmatch(posixpath.basename(file)[: -len(end)]) if end in _SUBTITLES else None
        if said and stem_of(path) == said[1]:
            languages.setdefault(path, {})[file] = language_code(said[2])
    return languages
