"""`metadata.jsonl` with the fields of this project: one line a file, or a stretch of one, every field but `path` optional.

Reads    {"path": "a/hello.wav", "domain": "speech", "licence": "CC-BY-4.0", "speaker": "anna", "given_text": "hello", "split": "test"}
Row out  Label(path="a/hello.wav", domain="speech", licence="CC-BY-4.0", speaker="anna", given_text="hello", split="test")

A file of this name with other fields is somebody else's, such as a Hugging Face audiofolder's.
"""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.cards import DOMAINS
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import finite, read_objects

NAME = "metadata.jsonl"
_TEXTS = (
    "domain", "licence", "speaker", "given_text", "given_title", "language", "split", "split_group", "part_of", "part", "recording",
    "utterance",
)  # fmt: skip
_LISTS = ("given_tags", "given_captions")
_NUMBERS = ("start_s", "end_s", "channel")
FIELDS = frozenset({"path", "facts", *_TEXTS, *_LISTS, *_NUMBERS})
_ALLOWED = {"domain": DOMAINS, "split": ("train", "val", "test")}
_SAMPLE = 50


class Ours:
    """The project's own labels; paths are relative to the folder of the file."""

    name: ClassVar[str] = "metadata"

    def claim(self, folder: Folder) -> Claim | None:
        label_files = [path for path in folder.paths if path.rpartition("/")[2] == NAME and self._is_ours(folder, path)]
        if not label_files:
            return None
        return Claim(
            format=self.name, label_files=tuple(label_files), summary=f"our labels: {', '.join(label_files[:3])}"
        )

    def _is_ours(self, folder: Folder, path: str) -> bool:
        """A file whose lines say nothing at all is ours, and broken."""
        for count, row in enumerate(read_objects(folder, path)):
            if isinstance(row, Problem):
                continue
            if not isinstance(row[1].get("path"), str) or set(row[1]) - FIELDS:
                return False
            if count == _SAMPLE:
                break
        return True

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        for file in claim.label_files:
            for row in read_objects(folder, file):
                if isinstance(row, Problem):
                    yield row
                else:
                    yield from _label(folder, file, *row)


def _label(folder: Folder, file: str, number: int, values: dict[str, Any]) -> Iterator[Label | Problem]:
    """The line's label, and a problem for each field that is left out of it."""
    path = values.get("path")
    if not isinstance(path, str) or not path:
        yield _bad(
            file, number, f'must be an object with a "path", but is {json.dumps(values, ensure_ascii=False)[:80]}'
        )
        return
    said: dict[str, Any] = {}
    for name, value in values.items():
        if name == "path" or value is None or value == "":
            continue
        wanted = _wanted(name, value)
        if wanted:
            yield _bad(file, number, f"`{name}` must be {wanted}, but is {json.dumps(value, ensure_ascii=False)[:80]}")
        else:
            said[name] = _converted(name, value)
    yield Label(path=folder.below(file, path), said_by=file, **said)


def _wanted(name: str, value: Any) -> str:
    """What the value must be; empty where it is that."""
    if name not in FIELDS:
        return f"one of {', '.join(sorted(FIELDS))}"
    if name in _TEXTS and not isinstance(value, str):
        return "a string"
    if name in _ALLOWED and value not in _ALLOWED[name]:
        return " or ".join(_ALLOWED[name])
    if name in _LISTS and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return "a list of strings"
    if name == "facts" and not (isinstance(value, dict) and all(isinstance(one, str) for one in value.values())):
        return "an object of strings"
    if name == "channel" and not (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return "a whole number from 0"
    if name in ("start_s", "end_s"):
        number = None if isinstance(value, str) else finite(value)
        return "" if number is not None and number >= 0 else "a number of seconds from 0"
    return ""


def _converted(name: str, value: Any) -> Any:
    if name in _LISTS:
        return tuple(value)
    if name == "facts":
        return tuple(Fact(name=key, value=one) for key, one in value.items())
    return float(value) if name in ("start_s", "end_s") else value


def _bad(file: str, number: int, detail: str) -> Problem:
    return Problem(path=file, reason="bad_metadata", detail=f"line {number}: {detail}")
