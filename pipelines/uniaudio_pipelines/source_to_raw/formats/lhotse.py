"""lhotse manifests: recordings, supervisions and cuts as JSON lines, and Shar folders with the audio in tars.

Reads    librispeech_recordings_dev-clean.jsonl.gz and librispeech_supervisions_dev-clean.jsonl.gz; cuts.jsonl.gz;
         shar/cuts.000000.jsonl.gz beside shar/recording.000000.tar
Row in   {"id": "a-1", "recording_id": "a", "start": 0.1, "duration": 0.5, "channel": 1, "text": "HI YOU", "speaker": "s1", …}
Row out  Label(path="audio/a.wav", start_s=0.1, end_s=0.6, channel=1, utterance="a-1", recording="a", given_text="HI YOU", speaker="s1",
               split="val", …)

Recognized by what the first line says, whatever the file is called. Source: https://lhotse.readthedocs.io
"""

import itertools
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats import tars
from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lhotse_cuts import (
    Recording,
    RefusedError,
    labels_of,
)
from uniaudio_pipelines.source_to_raw.formats.lines import finite, first_line, json_object, read_objects
from uniaudio_pipelines.source_to_raw.formats.lookup import Lookup
from uniaudio_pipelines.source_to_raw.formats.places import Places, split_of
from uniaudio_pipelines.source_to_raw.formats.samples import said

_SUFFIXES = (".jsonl", ".jsonl.gz")
_KINDS = ("recordings", "supervisions", "cuts")
_CUTS = frozenset({"MonoCut", "MultiCut", "MixedCut", "PaddingCut", "Cut"})
_SHAR = re.compile(r"(?P<field>.+)\.(?P<shard>\d+)\.tar(\.gz)?")
_AUDIO_FIELD = "recording"


def is_shar(folder: Folder, path: str) -> bool:
    """Whether the tar at `path` is a field of a Shar folder, whose cuts lie beside it."""
    return _cuts_of(folder, path) is not None


def _cuts_of(folder: Folder, path: str) -> str | None:
    parent, name = posixpath.split(path)
    match = _SHAR.fullmatch(name)
    names = [posixpath.join(parent, f"cuts.{match['shard']}{suffix}") for suffix in _SUFFIXES] if match else []
    return next((name for name in names if name in folder), None)


class Lhotse:
    name: ClassVar[str] = "lhotse"

    def claim(self, folder: Folder) -> Claim | None:
        kinds: dict[str, str | None] = {}
        files: dict[str, list[str]] = {kind: [] for kind in _KINDS}
        for path in folder.paths:
            if path.lower().endswith(_SUFFIXES):
                # Shards differ in their number alone: one of them is looked into.
                pattern = re.sub(r"\d+", "#", path)
                if pattern not in kinds:
                    kinds[pattern] = _kind(first_line(folder, path))
                if kind := kinds[pattern]:
                    files[kind].append(path)
        if not any(files.values()):
            return None
        cuts = set(files["cuts"])
        shar = [path for path in folder.paths if _cuts_of(folder, path) in cuts]
        firsts = {_field(path): path for path in reversed(shar)}
        holds_audio = {field: _holds_audio(folder.absolute(path)) for field, path in firsts.items()}
        audio = tuple(path for path in shar if holds_audio[_field(path)])
        manifests = [path for kind in _KINDS for path in files[kind]]
        others = [path for path in shar if not holds_audio[_field(path)]]
        counts = [f"{len(files_of_kind)} {kind}" for kind, files_of_kind in files.items() if files_of_kind]
        summary = f"lhotse: files of {', '.join(counts)}" + (f", {len(audio)} Shar tars of audio" if audio else "")
        names = tuple(sorted((*manifests, *others)))
        return Claim(format=self.name, label_files=names, containers=audio, summary=summary, details=files)

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        recordings, supervisions = claim.details["recordings"], claim.details["supervisions"]
        supervised = set()
        for path in supervisions:
            mine = [other for other in recordings if _rest(other, "recordings") == _rest(path, "supervisions")]
            mine = mine or [other for other in recordings if posixpath.dirname(other) == posixpath.dirname(path)]
            supervised.update(mine)
            yield from _of_supervisions(folder, path, mine)
        for path in recordings:
            if path not in supervised:
                yield from _of_recordings(folder, path)
        shards: dict[str, list[str]] = {}
        for path in claim.containers:
            shards.setdefault(str(_cuts_of(folder, path)), []).append(path)
        made_of = {_rest(path, "supervisions") for path in supervisions}
        for path in claim.details["cuts"]:
            # Cuts that were made of the supervisions beside them say nothing new.
            if path in shards or _rest(path, "cuts") not in made_of:
                yield from _of_cuts(folder, path, shards.get(path, []))

    def open_audio(self, file: Path, member: str) -> bytes:
        return tars.read_member(file, member)

    def walk(self, file: Path) -> Iterator[tuple[str, bytes]]:
        yield from tars.audio_of(file)


def _kind(line: str) -> str | None:
    value = json_object(line) or {}
    if value.get("type") in _CUTS and ("recording" in value or "tracks" in value or "supervisions" in value):
        return "cuts"
    if isinstance(value.get("sources"), list) and "sampling_rate" in value:
        return "recordings"
    return "supervisions" if {"id", "recording_id", "start", "duration"} <= set(value) else None


def _rest(path: str, kind: str) -> str:
    """What is left of a name without the kind: equal for the manifests of one set."""
    parent, name = posixpath.split(path)
    return posixpath.join(parent, name.removesuffix(".gz").replace(kind, "", 1))


def _field(path: str) -> str:
    match = _SHAR.fullmatch(posixpath.basename(path))
    return match["field"] if match else ""


def _holds_audio(file: Path) -> bool:
    first = itertools.islice(tars.members(file), 4)
    return any(isinstance(member, tars.Member) and is_audio(member.name) for member in first)


def _objects(folder: Folder, path: str) -> Iterator[tuple[str, dict[str, Any]] | Problem]:
    """`("file: line 3", object)`."""
    for row in read_objects(folder, path):
        yield row if isinstance(row, Problem) else (f"{path}: line {row[0]}", row[1])


def _refused(path: str, said_by: str, error: RefusedError) -> Problem:
    return Problem(path=path, reason=error.reason, detail=f"{said_by.removeprefix(f'{path}: ')}: {error}")


def _recordings(folder: Folder, path: str) -> Iterator[tuple[str, Recording] | Problem]:
    """`(said by, recording)`."""
    places = Places(folder, path)
    for row in _objects(folder, path):
        if isinstance(row, Problem):
            yield row
            continue
        try:
            yield row[0], Recording.of(row[1], places)
        except RefusedError as error:
            yield _refused(path, row[0], error)


def _of_recordings(folder: Folder, path: str) -> Iterator[Label | Problem]:
    split = split_of(folder, path)
    for row in _recordings(folder, path):
        if isinstance(row, Problem):
            yield row
            continue
        said_by, recording = row
        for file, _ in recording.places_of(None):
            yield Label(path=file, recording=recording.name, split=split, facts=recording.facts, said_by=said_by)


def _of_supervisions(folder: Folder, path: str, recordings: list[str]) -> Iterator[Label | Problem]:
    def by_name() -> Iterator[tuple[str, Recording] | Problem]:
        for file in recordings:
            for row in _recordings(folder, file):
                yield row if isinstance(row, Problem) else (row[1].name, row[1])

    known, split = Lookup(by_name), split_of(folder, path)
    yield from known.check()
    for row in _objects(folder, path):
        if isinstance(row, Problem):
            yield row
            continue
        said_by, supervision = row
        name = said(supervision.get("recording_id"))
        recording = known.get(name) if name else None
        try:
            if recording is None:
                raise RefusedError("unknown_recording", f"recording {name} must be one that can be used, but is not")
            yield from labels_of(supervision, recording, 0.0, split=split, said_by=said_by)
        except RefusedError as error:
            yield _refused(path, said_by, error)


def _of_cuts(folder: Folder, path: str, containers: list[str]) -> Iterator[Label | Problem]:
    members: dict[str, dict[str, str]] = {}
    for tar in containers:
        members[tar] = {}
        for member in tars.members(folder.absolute(tar)):
            if isinstance(member, tars.Flaw):
                yield Problem(path=tar, reason=member.reason, detail=member.detail)
            elif is_audio(member.name):
                members[tar][member.name.rpartition(".")[0]] = member.name
    places, split = Places(folder, path), split_of(folder, path)
    for row in _objects(folder, path):
        if isinstance(row, Problem):
            yield row
            continue
        said_by, cut = row
        inside = {
            _field(tar): f"{tar}/{names[name]}" for tar, names in members.items() if (name := cut.get("id")) in names
        }
        try:
            yield from _of_cut(cut, places, inside, {"split": split, "said_by": said_by})
        except RefusedError as error:
            yield _refused(path, said_by, error)


def _of_cut(cut: dict[str, Any], places: Places, inside: dict[str, str], known: dict[str, Any]) -> Iterator[Label]:
    """`inside`: field of a Shar folder -> path of this cut's audio; `known`: what all labels of the file have."""
    cut = _track(cut)
    recording = Recording.of(cut.get("recording"), places, inside.pop(_AUDIO_FIELD, None))
    first_s, duration_s = finite(cut.get("start", 0)), finite(cut.get("duration"))
    if first_s is None or first_s < 0 or duration_s is None or duration_s <= 0:
        raise RefusedError("bad_line", f"a cut must have start and duration, but is {str(cut)[:80]}")
    supervisions = [one for one in cut.get("supervisions") or [] if isinstance(one, dict)]
    for supervision in supervisions:
        yield from labels_of(supervision, recording, first_s, **known)
    if not supervisions:
        # Said as a supervision without words.
        silent = {"id": cut.get("id"), "start": 0.0, "duration": duration_s, "channel": cut.get("channel", 0)}
        yield from labels_of({**silent, "custom": cut.get("custom")}, recording, first_s, **known)
    for field, path in inside.items():
        name = Fact(name="shar_field", value=field)
        yield Label(path=path, utterance=said(cut.get("id")), recording=recording.name, facts=(name,), **known)


def _track(cut: dict[str, Any]) -> dict[str, Any]:
    """The one cut that a padded cut is made of. `RefusedError` where several are mixed: their sum lies in no file."""
    if cut.get("type") != "MixedCut":
        return cut
    tracks = [track for track in cut.get("tracks") or [] if isinstance(track, dict)]
    sounding: list[dict[str, Any]] = [
        track["cut"] for track in tracks if track.get("type") != "PaddingCut" and isinstance(track.get("cut"), dict)
    ]
    if len(sounding) != 1 or cut.get("transforms"):
        raise RefusedError(
            "mixed_cut", f"cut {str(cut.get('id'))[:60]} mixes {len(sounding)} cuts, whose sum lies in no file"
        )
    return sounding[0]
