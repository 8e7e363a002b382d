"""Kaldi data folders: recordings in `wav.scp`, utterances in `segments`, and what is said of them in `text`, `utt2spk` and their like.

Reads    data/train/wav.scp         rec1 audio/rec1.wav
         data/train/segments        spk1-rec1-a rec1 0.10 1.20
         data/train/text            spk1-rec1-a HAS JOINED THE CONFERENCE.
Row out  Label(path="audio/rec1.wav", start_s=0.1, end_s=1.2, utterance="spk1-rec1-a", recording="rec1", speaker="spk1",
               given_text="HAS JOINED THE CONFERENCE.", split="train", domain="speech")

A `wav.scp` may point into archives of audio (`wav.1.ark:1234`): a recording of one is called `wav.1.ark/rec1`. It may hold commands. None is
ever run: each is a dropped row with its reason.
Source: https://kaldi-asr.org/doc/data_prep.html
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats import archives
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import finite, first_line, read_lines
from uniaudio_pipelines.source_to_raw.formats.lookup import Lookup
from uniaudio_pipelines.source_to_raw.formats.places import Places, split_of

_RECORDINGS = "wav.scp"
_FILES = frozenset((
    "wav.scp", "segments", "text", "utt2spk", "spk2utt", "spk2gender", "utt2lang", "reco2file_and_channel", "utt2dur", "reco2dur",
    "utt2num_frames", "utt2uniq", "utt2category", "feats.scp", "cmvn.scp", "vad.scp", "frame_shift", "stm", "glm",
))  # fmt: skip
"""What lies in a data folder; those that are not read say how something was computed, or the same again."""
_COPIES = re.compile(r"(^|/)split\d+(utt)?/\d+$")
"""A data folder cut into pieces for jobs: what it holds is also in the folder above."""
_BLANKS = re.compile(r"[ \t]+")
"""Kaldi's separators; other spaces of Unicode are part of a transcript."""
_CHANNELS = {"A": 0, "B": 1, "1": 0, "2": 1}


class Kaldi:
    """Any number of data folders below the corpus folder; the name of each says its split."""

    name: ClassVar[str] = "kaldi"

    def claim(self, folder: Folder) -> Claim | None:
        listed = [posixpath.split(path) for path in folder.paths]
        parents = [parent for parent, name in listed if name == _RECORDINGS and self._is_one(folder, parent)]
        if not parents:
            return None
        among = set(parents)
        files = tuple(posixpath.join(*one) for one in listed if one[0] in among and one[1] in _FILES)
        read = [parent for parent in parents if not _COPIES.search(parent)]
        num_cut = sum(posixpath.join(parent, "segments") in folder for parent in read)
        audio = _archives(folder)
        shown = ", ".join(parent or "." for parent in read[:5]) + (", …" if len(read) > 5 else "")
        summary = f"Kaldi: {len(read)} data folders ({shown}), {num_cut} with segments"
        summary += f", {len(audio)} archives of audio" if audio else ""
        return Claim(format=self.name, label_files=files, containers=audio, summary=summary, details={"folders": read})

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        for parent in claim.details["folders"]:
            yield from _DataFolder(folder, parent).labels()

    def open_audio(self, file: Path, member: str) -> bytes:
        return archives.read_entry(file, member)

    def walk(self, file: Path) -> Iterator[tuple[str, bytes]]:
        entries, wrong = archives.index_of(file)
        if wrong and not entries:
            raise DataError(wrong)
        with file.open("rb") as opened:
            for key, entry in entries.items():
                opened.seek(entry.start)
                yield key, opened.read(entry.size)

    def _is_one(self, folder: Folder, parent: str) -> bool:
        return len(_BLANKS.split(first_line(folder, posixpath.join(parent, _RECORDINGS)).strip(), 1)) == 2


def _archives(folder: Folder) -> tuple[str, ...]:
    """Archives of audio. Archives that differ by a number only hold the same kind of thing, so that one of them is looked into."""
    kinds: dict[str, list[str]] = {}
    for path in folder.paths:
        if path.lower().endswith(".ark"):
            kinds.setdefault(re.sub(r"\d+", "#", path), []).append(path)
    return tuple(
        sorted(one for paths in kinds.values() if archives.holds_audio(folder.absolute(paths[0])) for one in paths)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Audio:
    """A line of `wav.scp`."""

    path: str
    """Empty where `problem` says why there is none."""
    problem: Problem | None = None


class _DataFolder:
    def __init__(self, folder: Folder, parent: str) -> None:
        self._folder, self._parent = folder, parent
        self._places = Places(folder, self._path(_RECORDINGS))
        self._split = split_of(folder, parent)
        self._texts = Lookup(lambda: self._pairs("text"))
        self._speakers = Lookup(self._speaker_pairs)
        self._languages = Lookup(lambda: self._pairs("utt2lang"))
        self._genders: dict[str, str] = {}
        self._sides: dict[str, tuple[str, int | None]] = {}
        self._num_found = 0
        self._keys: dict[str, tuple[dict[int, str], str]] = {}
        """Archive -> the key at each offset, and what is wrong with the rest of it."""

    def labels(self) -> Iterator[Label | Problem]:
        for table in (self._texts, self._speakers, self._languages):
            yield from table.check()
        yield from self._read_small()
        has_segments = self._path("segments") in self._folder
        yield from self._of_segments() if has_segments else self._of_recordings()
        if num_lost := max(0, self._texts.num_rows - self._num_found):
            detail = f"{num_lost} of {self._texts.num_rows} lines belong to no utterance of the folder"
            yield Problem(path=self._path("text"), reason="unknown_utterance", detail=detail)

    def _path(self, name: str) -> str:
        return posixpath.join(self._parent, name)

    def _lines(self, name: str) -> Iterator[tuple[int, list[str]] | Problem]:
        """`(line number, [key, rest])` of a file, which need not be there."""
        if self._path(name) not in self._folder:
            return
        for line in read_lines(self._folder, self._path(name)):
            yield line if isinstance(line, Problem) else (line.number, _BLANKS.split(line.text.strip(" \t"), 1))

    def _pairs(self, name: str) -> Iterator[tuple[str, str] | Problem]:
        for row in self._lines(name):
            if isinstance(row, Problem):
                yield row
            elif len(row[1]) == 2:
                yield row[1][0], row[1][1]
            elif name != "text":  # an utterance may have no words
                yield self._bad(name, row[0], f"must be a key and a value, but is {row[1][0][:80]}")

    def _speaker_pairs(self) -> Iterator[tuple[str, str] | Problem]:
        """Pairs of utterance and speaker in `utt2spk`, or in its inverse where that alone is there."""
        if self._path("utt2spk") in self._folder:
            yield from self._pairs("utt2spk")
            return
        for row in self._pairs("spk2utt"):
            if isinstance(row, Problem):
                yield row
            else:
                yield from ((utterance, row[0]) for utterance in _BLANKS.split(row[1].strip(" \t")))

    def _bad(self, name: str, number: int, detail: str, reason: str = "bad_line") -> Problem:
        return Problem(path=self._path(name), reason=reason, detail=f"line {number}: {detail}")

    def _read_small(self) -> Iterator[Problem]:
        for row in self._pairs("spk2gender"):
            if isinstance(row, Problem):
                yield row
            else:
                self._genders[row[0]] = row[1]
        for line in self._lines("reco2file_and_channel"):
            if isinstance(line, Problem):
                yield line
                continue
            fields = _BLANKS.split(" ".join(line[1]))
            if len(fields) == 3 and fields[2] in _CHANNELS:
                self._sides[fields[0]] = (fields[1], _CHANNELS[fields[2]])
            else:
                detail = f"must be recording, file and A, B, 1 or 2, but is {' '.join(fields)[:80]}"
                yield self._bad("reco2file_and_channel", line[0], detail)

    def _audio(self) -> Iterator[tuple[int, str, _Audio] | Problem]:
        """Line number, recording and where it lies."""
        for row in self._lines(_RECORDINGS):
            if isinstance(row, Problem):
                yield row
                continue
            number, (recording, *rest) = row
            said = rest[0] if rest else ""
            if said.endswith("|") or said.startswith("|"):
                shown = f"commands are never run: {said[:60]}{'…' if len(said) > 60 else ''}"
                yield number, recording, _Audio(path="", problem=self._bad(_RECORDINGS, number, shown, "pipe_refused"))
            elif place := archives.place_of(said):
                yield number, recording, self._in_archive(number, recording, *place)
            elif path := self._places.find(said) if said else None:
                yield number, recording, _Audio(path=path)
            else:
                detail = f"recording {recording} must be a file of the corpus, but {said[:200] or 'nothing'} is none"
                yield number, recording, _Audio(path="", problem=self._bad(_RECORDINGS, number, detail, "missing"))

    def _in_archive(self, number: int, recording: str, name: str, offset: int) -> _Audio:
        archive = self._places.find(name)
        if archive is None:
            detail = f"recording {recording} must be in an archive of the corpus, but {name[:200]} is none"
            return _Audio(path="", problem=self._bad(_RECORDINGS, number, detail, "missing"))
        if archive not in self._keys:
            entries, wrong = archives.index_of(self._folder.absolute(archive))
            self._keys[archive] = {entry.offset: key for key, entry in entries.items()}, wrong
        keys, wrong = self._keys[archive]
        if (key := keys.get(offset)) is None:
            detail = f"recording {recording} must begin at byte {offset} of {name[:200]}, where no sound does"
            return _Audio(path="", problem=self._bad(_RECORDINGS, number, f"{detail}. {wrong}".strip(), "missing"))
        return _Audio(path=f"{archive}/{key}")

    def _of_recordings(self) -> Iterator[Label | Problem]:
        for row in self._audio():
            if isinstance(row, Problem):
                yield row
                continue
            number, name, audio = row
            known = self._said_of(name)
            if audio.problem:
                yield audio.problem
            else:
                channel = self._sides.get(name, (name, None))[1]
                said_by = f"{self._path(_RECORDINGS)}: line {number}"
                yield Label(
                    path=audio.path, utterance=name, channel=channel, split=self._split, said_by=said_by, **known
                )

    def _of_segments(self) -> Iterator[Label | Problem]:
        recordings: dict[str, _Audio] = {}
        for row in self._audio():
            if isinstance(row, Problem):
                yield row
            else:
                recordings.setdefault(row[1], row[2])
        num_lost: Counter[str] = Counter()
        for line in self._lines("segments"):
            made = (
                line if isinstance(line, Problem) else self._segment(line[0], " ".join(line[1]), recordings, num_lost)
            )
            if made is not None:
                yield made
        for name, audio in recordings.items():
            if audio.problem:
                lost = f"{audio.problem.detail} ({num_lost[name]} utterances)"
                yield Problem(path=audio.problem.path, reason=audio.problem.reason, detail=lost)

    def _segment(
        self, number: int, line: str, recordings: dict[str, _Audio], num_lost: Counter[str]
    ) -> Label | Problem | None:
        """Label of an utterance. None where its recording is a problem that is told once, with the number of its utterances."""
        fields = _BLANKS.split(line)
        start_s, end_s = (finite(field) for field in fields[2:4]) if len(fields) in (4, 5) else (None, None)
        if start_s is None or end_s is None or start_s < 0 or (end_s <= start_s and end_s != -1):
            return self._bad("segments", number, f"must be utterance, recording, start and end, but is {line[:120]}")
        utterance, recording = fields[:2]
        known = self._said_of(utterance)
        file, channel = self._sides.get(recording, (recording, None))
        if len(fields) == 5 and fields[4].isdecimal():
            channel = int(fields[4])
        name = recording if recording in recordings else file
        if (audio := recordings.get(name)) is None:
            detail = f"recording {recording} must be one of {_RECORDINGS}, but is not there"
            return self._bad("segments", number, detail, "unknown_recording")
        if audio.problem:
            num_lost[name] += 1
            return None
        return Label(
            path=audio.path, start_s=start_s, end_s=None if end_s == -1 else end_s, channel=channel, utterance=utterance,
            recording=recording, split=self._split, said_by=f"{self._path('segments')}: line {number}", **known,
        )  # fmt: skip

    def _said_of(self, utterance: str) -> dict[str, Any]:
        text, speaker = self._texts.get(utterance), self._speakers.get(utterance)
        self._num_found += text is not None
        gender = self._genders.get(speaker or "")
        return {
            "given_text": text,
            "speaker": speaker,
            "language": self._languages.get(utterance),
            "domain": None if text is None else "speech",
            "facts": (Fact(name="gender", value=gender),) if gender else (),
        }
