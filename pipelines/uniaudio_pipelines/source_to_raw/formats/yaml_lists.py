"""Lists in YAML: as in JSON, and those of MuST-C and mTEDx, whose texts are the lines of files beside them.

Reads    train.yaml   - {duration: 2.4, offset: 17.2, speaker_id: spk.1, wav: ted_1.wav}
         train.en     And it can be a very complicated thing
         train.de     Und es kann sehr kompliziert sein
Row out  (1, {"wav": "ted_1.wav", "offset": 17.2, "duration": 2.4, "speaker_id": "spk.1", "text": "And it …", "language": "en",
              "translation_de": "Und es …"})

Files with references to other parts of themselves (`&a`, `*a`), which may grow without end, are refused, and so is deep nesting.
Source: https://mt.fbk.eu/must-c/
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from uniaudio_pipelines.source_to_raw.formats.columns import language_code
from uniaudio_pipelines.source_to_raw.formats.format import Folder, Problem
from uniaudio_pipelines.source_to_raw.formats.json_tables import Row, rows_of
from uniaudio_pipelines.source_to_raw.formats.languages import CODES
from uniaudio_pipelines.source_to_raw.formats.lines import Line, first_line, read_lines
from uniaudio_pipelines.source_to_raw.formats.whole_texts import read_text

ENDS = (".yaml", ".yml")
_MAX_DEPTH = 20
_PAIR = re.compile(r"([a-z]{2})-([a-z]{2})")
"""Folder of a pair of languages, the spoken one first."""
_ITEM = re.compile(r"- \{.*\}\s*")


def yaml_rows(folder: Folder, file: str) -> Iterator[Row | Problem]:
    if not _ITEM.fullmatch(first_line(folder, file)):
        text = read_text(folder, file)
        value = text if isinstance(text, Problem) else yaml_value(text)
        if isinstance(value, Problem | str):
            detail = value if isinstance(value, str) else value.detail
            yield Problem(path=file, reason="not_yaml" if isinstance(value, str) else value.reason, detail=detail)
        else:
            yield from rows_of(folder, file, value)
        return
    texts = _Texts(folder, file)
    number = 0
    for line in read_lines(folder, file):
        if isinstance(line, Problem):
            yield line
            continue
        value = yaml_value(line.text)
        number += 1
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            yield number, {**value[0], **texts.of(number)}
        else:
            yield Problem(
                path=file, reason="bad_line", detail=f"line {line.number}: must be one item, but is {line.text[:60]}"
            )


def yaml_value(text: str) -> Any:
    """The value, of plain types alone; a text that says what is wrong where there is none."""
    try:
        import yaml
    except ImportError:
        return "YAML is read with PyYAML, which is not installed"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                return f"line {event.start_mark.line + 1}: refers to another part of the file"
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                return f"line {event.start_mark.line + 1}: is nested in more than {_MAX_DEPTH} others"
        value = yaml.load(text, Loader=loader)  # a safe loader, of plain types
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        return " ".join(str(error).split())[:200] or "no YAML"
    return value if isinstance(value, list | dict) else "must be a list or an object"


class _Texts:
    """The files of lines beside a list, one a language."""

    def __init__(self, folder: Folder, file: str) -> None:
        beside = PurePosixPath(file)
        paths = {
            code: path
            for path in folder.paths
            if PurePosixPath(path).with_suffix("") == beside.with_suffix("")
            and (code := PurePosixPath(path).suffix[1:]) in CODES
        }
        self.files = tuple(paths.values())
        self._lines = {code: _numbered(folder, path) for code, path in paths.items()}
        self._spoken = _spoken(folder, file, tuple(paths))

    def of(self, number: int) -> dict[str, str]:
        said = {code: text for code, lines in self._lines.items() if (text := lines.get(number))}
        row = {f"translation_{code}": text for code, text in said.items() if code != self._spoken}
        return {**row, "text": said[self._spoken], "language": self._spoken} if self._spoken in said else row


def texts_beside(folder: Folder, file: str) -> tuple[str, ...]:
    """Label files that belong to a list in YAML."""
    return _Texts(folder, file).files if _ITEM.fullmatch(first_line(folder, file)) else ()


def _spoken(folder: Folder, file: str, languages: tuple[str, ...]) -> str:
    """The language that is spoken, of several; empty where nothing says which."""
    said = language_code(folder.card.language) if folder.card.language else ""
    pairs = [match[1] for part in (*PurePosixPath(folder.root.name, file).parts,) if (match := _PAIR.fullmatch(part))]
    # MuST-C is of English talks.
    wanted = (said, *pairs, *(languages if len(languages) == 1 else ("en",)))
    return next((one for one in wanted if one in languages), "")


def _numbered(folder: Folder, path: str) -> dict[int, str]:
    return {line.number: line.text.strip() for line in read_lines(folder, path) if isinstance(line, Line)}
