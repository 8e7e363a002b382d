"""Text corpora in tables: each row is a document. Only in a corpus without audio, where it cannot be a transcript.

Reads    tales.jsonl[.gz, .zst]   {"text": "Once upon a time …", "title": "A tale", "url": "…"}
         tales.csv, .tsv [.gz]    text,title        tales.json   [{"text": …}, …]        tale.txt.gz   a document as it stands
Row out  Label(path="tales.jsonl/81234", domain="text", given_title="A tale", facts=(Fact(name="url", value="…"),))

A document is called by the byte of the (unpacked) file at which its line begins, or by the number of its row, from 1.
"""

import contextlib
import functools
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio, suffix_of
from uniaudio_pipelines.source_to_raw.formats.columns import language_code, text_of
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import MAX_LINE, json_object
from uniaudio_pipelines.source_to_raw.formats.text_rows import PACKED, rows_of

_TEXT = ("text", "content", "document", "body", "article", "raw_content")
_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".json")
_SEEKABLE = (".jsonl", ".ndjson")
_SAMPLE = 20
_END = 1 << 62
"""Behind the last row."""


class Documents:
    """Files whose rows have a text."""

    name: ClassVar[str] = "json_documents"

    def claim(self, folder: Folder) -> Claim | None:
        if any(is_audio(path) for path in folder.paths):
            return None
        documents = [path for path in folder.paths if self._is_one(folder, path)]
        if not documents:
            return None
        summary = f"documents in rows: {', '.join(documents[:3])}{', …' if len(documents) > 3 else ''}"
        return Claim(format=self.name, label_files=(), containers=tuple(documents), summary=summary)

    def _is_one(self, folder: Folder, path: str) -> bool:
        """Most of its first rows."""
        suffix = suffix_of(path)
        inner = suffix_of(path[: -len(suffix)]) if suffix in PACKED else suffix
        if inner not in _SUFFIXES and not (suffix in PACKED and inner == ".txt"):
            return False
        sample = []
        # What is broken further down is told with its labels.
        with contextlib.suppress(DataError):
            for _, values in islice(rows_of(folder.absolute(path)), _SAMPLE):
                sample.append(values is not None and _text(values) is not None)
        return 2 * sum(sample) > len(sample)

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        for file in claim.containers:
            try:
                for place, values in rows_of(folder.absolute(file)):
                    if values is None or _text(values) is None:
                        detail = f"byte or row {place}: must be an object with a text ({', '.join(_TEXT)})"
                        yield Problem(path=file, reason="bad_line", detail=detail)
                    else:
                        yield _label(f"{file}/{place}", file, values)
            except DataError as error:
                detail = f"{str(error).replace(f'{folder.absolute(file)}: ', '')} The rest is not read."
                yield Problem(path=file, reason="cut_short", detail=detail)

    def open_audio(self, file: Path, member: str) -> bytes:
        """The text, in UTF-8. Quick for rows in their order."""
        try:
            status, place = file.stat(), int(member)
            if suffix_of(file.name) in _SEEKABLE:
                with file.open("rb") as opened:
                    opened.seek(place)
                    values = json_object(opened.readline(MAX_LINE))
            else:
                values = _cursor(file, status.st_size, status.st_mtime_ns).values(place)
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: {member}: cannot be read: {error}.") from error
        text = _text(values or {})
        if text is None:
            raise DataError(f"{file}: {member}: must be an object with a text.")
        return text.encode("utf-8", "replace")

    def walk(self, file: Path) -> Iterator[tuple[str, bytes]]:
        """Of a file that is broken, what stands before; `labels` say why the rest is missing."""
        try:
            for place, values in rows_of(file):
                if (text := _text(values or {})) is not None:
                    yield str(place), text.encode("utf-8", "replace")
        except DataError:
            return


class _Cursor:
    """One file, read from row to row."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: Iterator[tuple[int, dict[str, Any] | None]] = iter(())
        self._behind = _END

    def values(self, place: int) -> dict[str, Any] | None:
        """The row at a place; None where no row is."""
        if place <= self._behind:
            self._rows = rows_of(self._file)
        for at, values in self._rows:
            self._behind = at
            if at >= place:
                return values if at == place else None
        self._behind = _END
        return None


@functools.lru_cache(maxsize=4)
def _cursor(file: Path, size: int, mtime_ns: int) -> _Cursor:
    """Size and time are arguments so that a file that has changed is opened again."""
    return _Cursor(file)


def _text(values: dict[str, Any]) -> str | None:
    return next((value for name in _TEXT if isinstance(value := values.get(name), str) and value.strip()), None)


def _label(path: str, file: str, values: dict[str, Any]) -> Label:
    text = next(name for name in _TEXT if isinstance(values.get(name), str) and values[name].strip())
    facts = []
    for name, value in values.items():
        if name not in (text, "title", "language", "lang", "licence", "license") and value not in (None, "", [], {}):
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
            facts.append(Fact(name=name, value=shown[:10_000]))
    title, language = values.get("title"), values.get("language") or values.get("lang")
    licence = values.get("licence") or values.get("license")
    return Label(
        path=path, domain="text", given_title=text_of(title) if title else None, licence=text_of(licence) if licence else None,
        language=language_code(text_of(language)) if language else None, facts=tuple(facts), said_by=file,
    )  # fmt: skip
