"""WebDataset tars: samples of files with one key, audio beside its labels, in plain tars and tar.gz.

Reads    shards/train-000017.tar: 1034-0000.flac, 1034-0000.json {"text": "A B", "speaker": 7}, 1034-0001.flac, …
Row out  Label(path="shards/train-000017.tar/1034-0000.flac", given_text="A B", speaker="7", utterance="1034-0000", split="train")

Samples are grouped by the `webdataset` library, from members that `tars` has read: labels as bytes, audio as a place. Nothing is decoded by the
library, so that nothing of a tar is ever unpickled. Source: https://github.com/webdataset/webdataset
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from uniaudio_schemas.errors import DataError

from uniaudio_pipelines.source_to_raw.formats import tars
from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lhotse import is_shar
from uniaudio_pipelines.source_to_raw.formats.lines import json_object
from uniaudio_pipelines.source_to_raw.formats.places import split_of
from uniaudio_pipelines.source_to_raw.formats.samples import Samples

_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_NUM_LOOKED_AT = 200
"""Members by which a tar is recognized."""
_MAX_SAMPLE = 4 * tars.MAX_LABEL
"""Bytes of labels of one sample."""
_TEXTS = {
    "txt": "given_text", "text": "given_text", "transcript": "given_text", "transcription": "given_text", "lab": "given_text",
    "caption": "given_captions", "cls": "given_tags", "lang": "language", "spk": "speaker", "speaker": "speaker",
}  # fmt: skip
"""Suffix of a member whose whole content is one value -> what that is."""
_JSON = "json"


class WebDatasetTars:
    """Tars with audio inside. Their names, or their folders, say their split."""

    name: ClassVar[str] = "webdataset"

    def claim(self, folder: Folder) -> Claim | None:
        kinds: dict[str, list[str]] = {}
        for path in folder.paths:
            if path.lower().endswith(_SUFFIXES) and not is_shar(folder, path):
                kinds.setdefault(re.sub(r"\d+", "#", path), []).append(path)
        tar_paths = sorted(path for paths in kinds.values() if self._holds_audio(folder, paths) for path in paths)
        if not tar_paths:
            return None
        summary = f"WebDataset: {len(tar_paths)} tars ({tar_paths[0]}{', …' if len(tar_paths) > 1 else ''})"
        return Claim(format=self.name, label_files=(), containers=tuple(tar_paths), summary=summary)

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        samples = Samples(folder)
        for path in claim.containers:
            yield from _of_tar(folder, path, samples)

    def open_audio(self, file: Path, member: str) -> bytes:
        return tars.read_member(file, member)

    def walk(self, file: Path) -> Iterator[tuple[str, bytes]]:
        yield from tars.audio_of(file)

    def _holds_audio(self, folder: Folder, paths: list[str]) -> bool:
        """Whether the first of the tars that is one holds audio; where none is one, they are claimed too: their labels say what is wrong."""
        for path in paths[:3]:
            is_tar = False
            for member in itertools.islice(tars.members(folder.absolute(path)), _NUM_LOOKED_AT):
                if isinstance(member, tars.Member):
                    is_tar = True
                    if is_audio(member.name):
                        return True
            if is_tar:
                return False
        return True


def _of_tar(folder: Folder, path: str, samples: Samples) -> Iterator[Label | Problem]:
    from webdataset.tariterators import group_by_keys

    problems: list[Problem] = []
    num_held = 0

    def max_data(name: str) -> int:
        return min(tars.MAX_LABEL, _MAX_SAMPLE - num_held) if _kind(name) else 0

    def files() -> Iterator[dict[str, Any]]:
        nonlocal num_held
        for member in tars.members(folder.absolute(path), max_data):
            if isinstance(member, tars.Flaw):
                problems.append(Problem(path=path, reason=member.reason, detail=member.detail))
            else:
                num_held += len(member.data or b"")
                yield {"fname": member.name, "data": member, "__url__": path}

    def unusable(error: Exception) -> bool:
        problems.append(Problem(path=path, reason="duplicate_name", detail=str(error.args[0])[:200]))
        return True

    split = split_of(folder, path)
    for sample in group_by_keys(files(), handler=unusable):
        yield from problems
        problems.clear()
        num_held = 0
        yield from _of_sample(samples, path, sample, split)
    yield from problems


def _of_sample(samples: Samples, path: str, sample: dict[str, Any], split: str | None) -> Iterator[Label | Problem]:
    parts = {suffix: member for suffix, member in sample.items() if isinstance(member, tars.Member)}
    audio = {suffix: member for suffix, member in parts.items() if is_audio(member.name)}
    for suffix, member in audio.items():
        said = _said_of(suffix, parts)
        values, problems = _values(path, said)
        yield from problems
        if member.size == 0:
            yield Problem(path=f"{path}/{member.name}", reason="empty", detail="0 bytes")
            continue
        name = f"{path}/{member.name}"
        try:
            yield samples.label(name, values, split=split, said_by=path, utterance=member.name.rpartition(".")[0])
        except ValueError as error:
            yield Problem(path=name, reason="bad_label", detail=str(error))
    if not audio and (texts := [member.name for suffix, member in parts.items() if _kind(suffix)]):
        yield Problem(path=f"{path}/{texts[0]}", reason="label_of_nothing", detail="no audio has this key beside it")


def _said_of(suffix: str, parts: dict[str, tars.Member]) -> dict[str, tars.Member]:
    """Kind of label (`json`, `txt`) -> the member that says it of the audio with this suffix: `0.json` before `json` for `0.flac`."""
    stem = suffix.rpartition(".")[0]
    own = {_kind(other): member for other, member in parts.items() if stem and other.rpartition(".")[0] == stem}
    of_all = {_kind(other): member for other, member in parts.items() if "." not in other}
    return {kind: member for kind, member in {**of_all, **own}.items() if kind}


def _kind(name: str) -> str:
    """Which kind of label a member is by its last suffix; empty where it is none."""
    last = name.rpartition(".")[2].lower()
    return last if last == _JSON or last in _TEXTS else ""


def _values(path: str, said: dict[str, tars.Member]) -> tuple[dict[str, Any], list[Problem]]:
    values: dict[str, Any] = {}
    problems = []
    for kind, member in said.items():
        try:
            new_values = _value(kind, member)
        except DataError as error:
            problems.append(Problem(path=f"{path}/{member.name}", reason="bad_label", detail=str(error)))
        else:
            values.update(new_values)
    return values, problems


def _value(kind: str, member: tars.Member) -> dict[str, Any]:
    if member.data is None:
        raise DataError(f"must be at most {tars.MAX_LABEL} bytes, and its sample {_MAX_SAMPLE}, but is {member.size}")
    try:
        text = member.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"must be UTF-8: byte {error.start}: {error.reason}") from error
    if kind == _JSON:
        value = json_object(text)
        if value is None:
            raise DataError(f"must be a JSON object, but is {text[:80]}")
        return value
    # A class is a number where its name is kept elsewhere: no tag, but not lost.
    field = "cls" if kind == "cls" and text.strip().isdecimal() else _TEXTS[kind]
    return {field: text.strip()} if text.strip() else {}
