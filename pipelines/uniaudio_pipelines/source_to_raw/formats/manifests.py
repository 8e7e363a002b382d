"""Tables with any column names: CSV, TSV, lists with bars, JSON lines, JSON and YAML, one row an audio file or a stretch of one.

Reads    manifest.jsonl   {"audio_filepath": "a.wav", "duration": 2.1, "text": "hello", "speaker": 17}
         train.txt        wavs/a.wav|17|hello
         transcript.txt   BAC009S0002W0122 而 对 楼市 成交
         esc50.csv        filename,fold,target,category
         train.yaml       - {wav: a.wav, offset: 1.5, duration: 2.0}
Row out  Label(path="a.wav", given_text="hello", speaker="17", facts=(Fact(name="duration_s", value="2.1"),))

NeMo's manifests, Hugging Face's audiofolder, ESC-50, Clotho, MusicCaps and filelists of speech synthesis are such tables. The column of
audio files is the one whose values are files that are there; the text is known by its column's name, else by what stands in it.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

from uniaudio_pipelines.source_to_raw.formats import yaml_lists
from uniaudio_pipelines.source_to_raw.formats.audio_names import (
    AudioNames,
    audio_names,
    is_audio,
    stem_of,
    suffix_of,
)
from uniaudio_pipelines.source_to_raw.formats.columns import is_named, label, meanings, text_of
from uniaudio_pipelines.source_to_raw.formats.delimited import BLANK, COLON, DELIMITERS, rows, sniff
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.json_tables import Row, json_rows
from uniaudio_pipelines.source_to_raw.formats.lines import first_line, read_lines, read_objects
from uniaudio_pipelines.source_to_raw.formats.named_by_columns import (
    VGGSOUND,
    filled,
    is_row_of_vggsound,
    is_vggsound,
    template_of,
)
from uniaudio_pipelines.source_to_raw.formats.nested import flat, stretches
from uniaudio_pipelines.source_to_raw.formats.places import split_of
from uniaudio_pipelines.source_to_raw.formats.which_columns import (
    SAMPLE,
    Finder,
    Rows,
    path_column,
    speaker_column,
    text_column,
)

_JSON_LINES = frozenset({".jsonl", ".ndjson", ".jsonlines"})
_DELIMITED = frozenset({".csv", ".tsv", ".psv"})
_LISTS = frozenset({".txt", ".list", ".lst", ".manifest"})
_LIST_NAMES = frozenset({"text", "transcript", "transcripts", "trans"})
"""Tables only where their first lines are cut by a bar or a tab, or begin with names of audio files."""
_MAX_LISTS = 100
"""Files of such names that are looked into, the outermost first."""
_TIMES_IN_FRONT = re.compile(r"\[\d+\.\d+\s*-\s*\d+\.\d+\]:?\s*")
"""What IEMOCAP writes between the name of an utterance and its words: where it stood in the dialogue that it was cut from."""
_PINYIN = re.compile(r"[a-z]+[1-6]")
"""What AISHELL-3 writes behind each character."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Manifest:
    """How one file is read."""

    file: str
    kind: str
    """`lines`, `json`, `yaml`, or a delimiter."""
    columns: tuple[str, ...] = ()
    """Column names of a delimited file without a header; empty: its first row has them."""
    path_column: str = ""
    template: str = ""
    """Name of the audio file made of several columns; then no column alone names it."""
    meaning: tuple[tuple[str, str], ...] = ()


class Manifests:
    """Every table that names audio files."""

    name: ClassVar[str] = "manifest"

    def claim(self, folder: Folder) -> Claim | None:
        names = audio_names(folder)
        tables, unread = [], []
        for file in _candidates(folder, names):
            if table := _look(folder, file, names):
                tables.append(table)
            elif why := _not_text(folder, file):
                unread.append(why)
        if not tables and (not unread or names.is_empty):
            return None
        files = [table.file for table in tables] or [why.path for why in unread]
        said = ", ".join(f"{column} is {field}" for column, field in tables[0].meaning) if tables else "not UTF-8"
        texts = [
            path for table in tables if table.kind == "yaml" for path in yaml_lists.texts_beside(folder, table.file)
        ]
        return Claim(
            format=self.name,
            label_files=(*(table.file for table in tables), *texts, *(why.path for why in unread)),
            summary=f"manifests: {', '.join(files[:3])}{', …' if len(files) > 3 else ''} ({said})",
            details={"manifests": tables, "unread": unread},
        )

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        yield from claim.details["unread"]
        names = audio_names(folder)
        yield from _trained_on(folder, claim.details["manifests"], names)
        for table in claim.details["manifests"]:
            finder, split = Finder(folder, table.file, names), split_of(folder, table.file)
            meaning = dict(table.meaning)
            text = next((column for column, field in meaning.items() if field == "given_text"), "")
            for row in _rows(folder, table):
                if isinstance(row, Problem):
                    yield row
                    continue
                number, values = row
                if table.columns and text in values:
                    values = {**values, text: _without_marks(text_of(values[text]))}
                said_by = table.file
                name = filled(table.template, values) or text_of(values.get(table.path_column) or "").strip()
                if not name:
                    detail = f"line {number}: `{table.path_column}` must name an audio file, but is empty"
                    yield Problem(path=table.file, reason="bad_line", detail=detail)
                    continue
                try:
                    yield label(finder.find(name) or finder.guess(name), values, meaning, folder, said_by, split)
                except ValueError as error:
                    yield Problem(path=table.file, reason="bad_line", detail=f"line {number}: {error}")


def _trained_on(folder: Folder, tables: list[_Manifest], names: AudioNames) -> Iterator[Label]:
    """The files that no list names, where there are lists of validation and of test and of nothing else: Speech Commands."""
    splits = {split_of(folder, table.file) for table in tables}
    if "train" in splits or None in splits or not splits or any(len(table.meaning) > 1 for table in tables):
        return
    listed = set()
    for table in tables:
        finder = Finder(folder, table.file, names)
        for row in _rows(folder, table):
            if not isinstance(row, Problem):
                listed.add(finder.find(text_of(row[1].get(table.path_column) or "").strip()))
    lists = " and ".join(posixpath.basename(table.file) for table in tables)
    for path in folder.paths:
        if is_audio(path) and path not in listed:
            yield Label(path=path, split="train", said_by=f"not in {lists}")


def _candidates(folder: Folder, names: AudioNames) -> Iterator[str]:
    lists = 0
    for path in sorted(folder.paths, key=lambda path: (path.count("/"), path)):
        suffix = suffix_of(path.removesuffix(".gz"))
        if suffix in _DELIMITED or suffix in _JSON_LINES:
            yield path
        elif suffix in (".json", *yaml_lists.ENDS) or suffix in _LISTS or posixpath.basename(path) in _LIST_NAMES:
            # What is called like a sound beside it speaks of that one alone.
            if names.beside(posixpath.dirname(path), stem_of(path)):
                continue
            lists += 1
            if lists <= _MAX_LISTS:
                yield path


def _look(folder: Folder, file: str, names: AudioNames) -> _Manifest | None:
    suffix = suffix_of(file.removesuffix(".gz"))
    if suffix in _JSON_LINES:
        table = _Manifest(file=file, kind="lines")
    elif suffix in yaml_lists.ENDS:
        table = _Manifest(file=file, kind="yaml")
    elif suffix == ".json":
        table = _Manifest(file=file, kind="lines" if _has_object_lines(folder, file) else "json")
    else:
        # VoxPopuli calls lists with bars `.tsv`.
        has_tabs = suffix == ".tsv" and "\t" in first_line(folder, file)
        delimiter = "\t" if has_tabs else sniff(folder, file)
        if delimiter is None and suffix in _DELIMITED:
            # Where texts hold the delimiter, the first row has the fewest fields.
            delimiter = next((one for one in DELIMITERS if one in first_line(folder, file)), None)
        is_list = suffix not in _DELIMITED and (delimiter is None or delimiter not in "|\t")
        kinds = (BLANK, COLON) if is_list else (delimiter,)
        tables = [_with_numbered_columns(folder, _Manifest(file=file, kind=one), names) for one in kinds if one]
        # The first row of a list names a file.
        chosen = next((one for one in tables if one.columns or not is_list), None)
        if chosen is None:
            return None
        table = chosen
    return _understand(folder, table, names)


def _not_text(folder: Folder, file: str) -> Problem | None:
    """Why a table could not be understood, where its encoding is to blame."""
    if suffix_of(file.removesuffix(".gz")) not in _DELIMITED | _JSON_LINES:
        return None
    for line in islice(read_lines(folder, file), SAMPLE):
        if isinstance(line, Problem) and line.reason in ("not_utf8", "wrong_encoding"):
            return replace(line, detail=f"{line.detail}; `encoding` of the corpus card says what it is")
    return None


def _has_object_lines(folder: Folder, file: str) -> bool:
    """Whether its first two lines are an object each: NeMo calls its JSON lines `.json`."""
    first = list(islice(read_objects(folder, file), 2))
    return len(first) == 2 and not any(isinstance(row, Problem) for row in first)


def _with_numbered_columns(folder: Folder, table: _Manifest, names: AudioNames) -> _Manifest:
    """The manifest with columns that are called by their numbers, where its first row names a file and so is no header."""
    finder = Finder(folder, table.file, names)
    for row in rows(folder, table.file, table.kind):
        if isinstance(row, Problem):
            break
        if not any(finder.find(cell.strip()) for cell in row[1]) and not is_row_of_vggsound(folder, row[1]):
            break
        return replace(table, columns=tuple(f"column_{number}" for number in range(1, len(row[1]) + 1)))
    return table


def _understand(folder: Folder, table: _Manifest, names: AudioNames) -> _Manifest | None:
    """The manifest with its columns' meanings; None where no column names audio files."""
    sample = [row[1] for row in islice(_rows(folder, table), SAMPLE) if not isinstance(row, Problem)]
    columns = list(dict.fromkeys(column for row in sample for column in row))
    finder = Finder(folder, table.file, names)
    if made := _named_by_columns(folder, table, finder, sample):
        return made
    by_card = folder.card.columns.get("path")
    path = by_card if by_card in columns else path_column(finder, sample, columns, has_names=not table.columns)
    if path is None:
        return None
    meaning = meanings(columns, folder, path)
    if "given_text" not in meaning.values() and (column := text_column(sample, columns, meaning)):
        meaning[column] = "given_text"
        if table.kind == "|" and table.columns and (speaker := speaker_column(sample, columns, meaning)):
            meaning[speaker] = "speaker"
    return replace(table, path_column=path, meaning=tuple(meaning.items()))


def _named_by_columns(folder: Folder, table: _Manifest, finder: Finder, sample: Rows) -> _Manifest | None:
    """The manifest whose audio files are called by several columns; None where one names them."""
    if table.columns and is_vggsound(folder, sample):
        return replace(table, path_column="column_1", meaning=VGGSOUND)
    columns = list(dict.fromkeys(column for row in sample for column in row))
    template = template_of(finder, sample, columns, folder.card.columns.get("path"))
    if not template:
        return None
    named = meanings(columns, folder, "").items()
    # Such files were cut from what the times are of.
    meaning = tuple((column, field) for column, field in named if not field.startswith(("start", "end", "path")))
    return replace(table, template=template, meaning=meaning)


def _rows(folder: Folder, table: _Manifest) -> Iterator[Row | Problem]:
    if table.kind == "lines":
        for row in read_objects(folder, table.file):
            if isinstance(row, Problem):
                yield row
            else:
                yield from ((row[0], flat(one)) for one in stretches(row[1]))
    elif table.kind in ("json", "yaml"):
        yield from (json_rows if table.kind == "json" else yaml_lists.yaml_rows)(folder, table.file)
    else:
        columns = list(table.columns)
        for line in rows(folder, table.file, table.kind):
            if isinstance(line, Problem):
                yield line
            elif not columns:
                # Empty names and names that are there twice would hide each other's values.
                columns = [name.strip() or f"column_{index + 1}" for index, name in enumerate(line[1])]
                columns = [
                    name if columns.index(name) == index else f"{name}_{index + 1}"
                    for index, name in enumerate(columns)
                ]
            elif len(line[1]) > len(columns) and not _may_go_on(table, columns[-1]):
                detail = f"line {line[0]}: must have {len(columns)} fields, but has {len(line[1])}"
                yield Problem(path=table.file, reason="bad_line", detail=detail)
            else:
                if table.kind == "\t":
                    line = (line[0], [_unquoted(field) for field in line[1]])
                # A text that stands last may hold delimiters that nobody quoted, and tags may be a column each.
                last, between = len(columns) - 1, "," if table.kind == "\t" else table.kind
                fields = [*line[1][:last], between.join(line[1][last:])] if len(line[1]) > last else line[1]
                yield line[0], dict(zip(columns, fields, strict=False))


def _unquoted(field: str) -> str:
    """A field without its quotes, where a library has quoted it: then all quotes inside are doubled."""
    if len(field) < 2 or field[0] != '"' or field[-1] != '"':
        return field
    inside = field[1:-1].replace('""', "")
    return field if '"' in inside else field[1:-1].replace('""', '"')


def _without_marks(text: str) -> str:
    """The words of a line, without what some corpora write in between."""
    text = _TIMES_IN_FRONT.sub("", text, count=1) if text.startswith("[") else text
    words = text.split()
    spelled = [bool(_PINYIN.fullmatch(word)) for word in words]
    is_spelled = len(words) > 1 and not spelled[0] and spelled[1::2] and all(spelled[1::2]) and not any(spelled[::2])
    return " ".join(words[::2]) if is_spelled and not words[0].isascii() else text


def _may_go_on(table: _Manifest, last: str) -> bool:
    """Whether the last column may have more fields than one."""
    if table.kind == "\t":
        return is_named(last, "given_tags")
    return dict(table.meaning).get(last, "given_text") == "given_text"
