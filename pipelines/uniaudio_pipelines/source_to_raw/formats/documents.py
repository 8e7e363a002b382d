"""Text corpora in JSON lines: each row is a document. Only in a corpus without audio, where it cannot be a transcript.

Reads    {"text": "Once upon a time …", "title": "A tale", "url": "…"}
Row out  Label(path="tales.jsonl/81234", domain="text", given_title="A tale", facts=(Fact(name="url", value="…"),))

A document is called by the byte at which its line begins, so that it is found without reading what stands before it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.audio_names import is_audio, suffix_of
from uniaudio_pipelines.source_to_raw.formats.columns import language_code, text_of
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import MAX_LINE, json_object

_TEXT = ("text", "content", "document", "body", "article", "raw_content")
_SAMPLE = 20


class JsonLinesDocuments:
    """Files of JSON lines whose objects have a text."""

    name: ClassVar[str] = "json_documents"

    def claim(self, folder: Folder) -> Claim | None:
        if any(is_audio(path) for path in folder.paths):
            return None
        documents = [
            path for path in folder.paths if suffix_of(path) in (".jsonl", ".ndjson") and self._is_one(folder, path)
        ]
        if not documents:
            return None
        summary = f"documents in JSON lines: {', '.join(documents[:3])}{', …' if len(documents) > 3 else ''}"
        return Claim(format=self.name, label_files=(), containers=tuple(documents), summary=summary)

    def _is_one(self, folder: Folder, path: str) -> bool:
        """Most of its first lines."""
        sample = [values for _, (_, values) in zip(range(_SAMPLE), _lines(folder.absolute(path)), strict=False)]
        return 2 * sum(values is not None and _text(values) is not None for values in sample) > len(sample)

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        for file in claim.containers:
            for offset, values in _lines(folder.absolute(file)):
                if values is None or _text(values) is None:
                    detail = f"byte {offset}: must be an object with a text ({', '.join(_TEXT)})"
                    yield Problem(path=file, reason="bad_line", detail=detail)
                else:
                    yield _label(f"{file}/{offset}", file, values)

    def open_audio(self, file: Path, member: str) -> bytes:
        """The text, in UTF-8."""
        try:
            with file.open("rb") as opened:
                opened.seek(int(member))
                values = json_object(opened.readline(MAX_LINE))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: {member}: cannot be read: {error}.") from error
        text = _text(values or {})
        if text is None:
            raise DataError(f"{file}: byte {member}: must be an object with a text.")
        return text.encode("utf-8", "replace")

    def walk(self, file: Path) -> Iterator[tuple[str, bytes]]:
        for offset, values in _lines(file):
            if (text := _text(values or {})) is not None:
                yield str(offset), text.encode("utf-8", "replace")


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Where each line that is not empty begins, and its object; None where it is none."""
    try:
        with file.open("rb") as opened:
            offset = 3 if opened.read(3) == b"\xef\xbb\xbf" else 0
            opened.seek(offset)
            while line := opened.readline(MAX_LINE + 1):
                start, offset = offset, offset + len(line)
                if len(line) > MAX_LINE:
                    while line and not line.endswith(b"\n"):
                        line = opened.readline(MAX_LINE)
                        offset += len(line)
                    yield start, None
                elif line.strip():
                    yield start, json_object(line)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}.") from error


def _text(values: dict[str, Any]) -> str | None:
    return next((value for name in _TEXT if isinstance(value := values.get(name), str)), None)


def _label(path: str, file: str, values: dict[str, Any]) -> Label:
    text = next(name for name in _TEXT if isinstance(values.get(name), str))
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
