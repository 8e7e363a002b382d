"""Tables with any column names: CSV, TSV, lists with bars, JSON lines and JSON, one row an audio file or a stretch of one.

Reads    manifest.jsonl   {"audio_filepath": "a.wav", "duration": 2.1, "text": "hello", "speaker": 17}
         esc50.csv        filename,fold,target,category
Row out  Label(path="a.wav", given_text="hello", speaker="17", facts=(Fact(name="duration_s", value="2.1"),))

NeMo's manifests, Hugging Face's audiofolder, ESC-50, Clotho, MusicCaps and filelists of speech synthesis are such tables. The column of
audio files is the one whose values are files that are there; the text is known by its column's name, else by what stands in it.
"""

import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar

from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames, audio_names, is_audio, stem_of, suffix_of
from uniaudio_pipelines.source_to_raw.formats.columns import PATHS, SURE_PATHS, label, meanings, plain, text_of
from uniaudio_pipelines.source_to_raw.formats.delimited import DELIMITERS, rows, sniff
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.lines import first_line, read_objects
from uniaudio_pipelines.source_to_raw.formats.places import Places, split_of

_JSON_LINES = frozenset({".jsonl", ".ndjson", ".jsonlines"})
_DELIMITED = frozenset({".csv", ".tsv", ".psv"})
_LISTS = frozenset({".txt", ".list", ".lst", ".manifest"})
"""Tables only where their first lines are cut by a bar or a tab."""
_MAX_LISTS = 100
"""Files of such names that are looked into, the outermost first."""
_SAMPLE = 200
_MIN_FOUND = 0.3
"""Of a column's values, those that are files; where its name says what it is, one is enough: a corpus is often downloaded in parts."""
_MAX_JSON = 256 << 20
"""Bytes of one JSON value, which is read as a whole."""
_KEY = "key"
"""Column of the names in a JSON object of objects."""
Row = tuple[int, dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Manifest:
    """How one file is read."""

    file: str
    kind: str
    """`lines`, `json`, or a delimiter."""
    columns: tuple[str, ...] = ()
    """Of a delimited file without a header; empty: its first row has them."""
    path_column: str = ""
    meaning: tuple[tuple[str, str], ...] = ()


class Manifests:
    """Every table that names audio files."""

    name: ClassVar[str] = "manifest"

    def claim(self, folder: Folder) -> Claim | None:
        names = audio_names(folder)
        tables = [table for file in _candidates(folder, names) if (table := _look(folder, file, names))]
        if not tables:
            return None
        first = tables[0]
        said = ", ".join(f"{column} is {field}" for column, field in first.meaning)
        summary = (
            f"manifests: {', '.join(table.file for table in tables[:3])}{', …' if len(tables) > 3 else ''} ({said})"
        )
        return Claim(
            format=self.name,
            label_files=tuple(table.file for table in tables),
            summary=summary,
            details={"manifests": tables},
        )

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        names = audio_names(folder)
        for table in claim.details["manifests"]:
            finder, split = _Finder(folder, table.file, names), split_of(folder, table.file)
            meaning = dict(table.meaning)
            for row in _rows(folder, table):
                if isinstance(row, Problem):
                    yield row
                    continue
                number, values = row
                said_by = table.file
                name = text_of(values.get(table.path_column) or "").strip()
                if not name:
                    detail = f"line {number}: `{table.path_column}` must name an audio file, but is empty"
                    yield Problem(path=table.file, reason="bad_line", detail=detail)
                    continue
                try:
                    yield label(finder.find(name) or finder.guess(name), values, meaning, folder, said_by, split)
                except ValueError as error:
                    yield Problem(path=table.file, reason="bad_line", detail=f"line {number}: {error}")


def _candidates(folder: Folder, names: AudioNames) -> Iterator[str]:
    lists = 0
    for path in sorted(folder.paths, key=lambda path: (path.count("/"), path)):
        suffix = suffix_of(path.removesuffix(".gz"))
        if suffix in _DELIMITED or suffix in _JSON_LINES:
            yield path
        elif suffix == ".json" or suffix in _LISTS:
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
    elif suffix == ".json":
        table = _Manifest(file=file, kind="lines" if _has_object_lines(folder, file) else "json")
    else:
        delimiter = "\t" if suffix == ".tsv" else sniff(folder, file)
        if delimiter is None and suffix in _DELIMITED:
            # Where texts hold the delimiter, the first row has the fewest fields.
            delimiter = next((one for one in DELIMITERS if one in first_line(folder, file)), None)
        if delimiter is None or (suffix in _LISTS and delimiter not in "|\t"):
            return None
        table = _Manifest(file=file, kind=delimiter)
        table = _with_numbered_columns(folder, table, names)
    return _understand(folder, table, names)


def _has_object_lines(folder: Folder, file: str) -> bool:
    """Whether its first two lines are an object each: NeMo calls its JSON lines `.json`."""
    first = list(islice(read_objects(folder, file), 2))
    return len(first) == 2 and not any(isinstance(row, Problem) for row in first)


def _with_numbered_columns(folder: Folder, table: _Manifest, names: AudioNames) -> _Manifest:
    """Without a header, which a first row that names a file is not, columns are called by their numbers."""
    finder = _Finder(folder, table.file, names)
    for row in rows(folder, table.file, table.kind):
        if isinstance(row, Problem) or not any(finder.find(cell.strip()) for cell in row[1]):
            break
        return replace(table, columns=tuple(f"column_{number}" for number in range(1, len(row[1]) + 1)))
    return table


def _understand(folder: Folder, table: _Manifest, names: AudioNames) -> _Manifest | None:
    """With the columns' meanings; None where no column names audio files."""
    sample = [row[1] for row in islice(_rows(folder, table), _SAMPLE) if not isinstance(row, Problem)]
    columns = list(dict.fromkeys(column for row in sample for column in row))
    path_column = _path_column(folder, table, sample, columns, names)
    if path_column is None:
        return None
    meaning = meanings(columns, folder, path_column)
    if "given_text" not in meaning.values() and (column := _text_column(sample, columns, meaning)):
        meaning[column] = "given_text"
    return replace(table, path_column=path_column, meaning=tuple(meaning.items()))


def _path_column(
    folder: Folder, table: _Manifest, sample: list[dict[str, Any]], columns: list[str], names: AudioNames
) -> str | None:
    by_card = folder.card.columns.get("path")
    if by_card in columns:
        return by_card
    finder = _Finder(folder, table.file, names)
    shares: dict[str, float] = {}
    for column in columns:
        cells = [row.get(column) for row in sample]
        values = [text for cell in cells if isinstance(cell, str | int) and (text := str(cell).strip())]
        if values:
            shares[column] = sum(finder.find(value) is not None for value in values) / len(values)
    order = {name: index for index, name in enumerate(PATHS)}
    best = max(shares, key=lambda column: (shares[column], -order.get(plain(column), len(order))), default=None)
    if best is not None and shares[best] >= (1 / _SAMPLE if plain(best) in order else _MIN_FOUND):
        return best
    # Where none of its files is there, a table that is certainly one of audio says what is missing.
    sure = [column for column in columns if plain(column) in SURE_PATHS]
    named = [column for column in sure if any(is_audio(text_of(row.get(column) or "")) for row in sample)]
    return named[0] if named and not table.columns else None


def _text_column(sample: list[dict[str, Any]], columns: list[str], meaning: dict[str, str]) -> str | None:
    """The column that holds sentences: words, and hardly ever the same ones."""
    best: tuple[float, str] | None = None
    for column in columns:
        values = [value for row in sample if isinstance(value := row.get(column), str) and value.strip()]
        if column in meaning or len(values) < max(1, len(sample) // 2):
            continue
        if sum(any(one.isalpha() for one in value) for value in values) < 0.9 * len(values):
            continue
        num_words = sum(len(value.split()) for value in values) / len(values)
        share_unique = len(set(values)) / len(values)
        if num_words >= 2 and share_unique > 0.5 and (best is None or num_words > best[0]):
            best = (num_words, column)
    return best[1] if best else None


class _Finder:
    """Which file a cell means."""

    def __init__(self, folder: Folder, file: str, names: AudioNames) -> None:
        self._folder, self._file, self._names = folder, file, names
        self._places = Places(folder, file)

    def find(self, name: str) -> str | None:
        if len(name) > 4096 or "\n" in name:
            return None
        found = self._places.find(name)
        if found is not None:
            return found if is_audio(found) or not suffix_of(found) else None
        if name.startswith("/") or ".." in name.split("/"):
            return None
        # `part1/a` without its suffix, or a name alone.
        path = self._names.find(name)
        folder = posixpath.dirname(name)
        return path if path and (not folder or posixpath.dirname(path).endswith(folder)) else None

    def guess(self, name: str) -> str:
        """Where a file would lie that is not there."""
        return self._folder.below(self._file, name)


def _rows(folder: Folder, table: _Manifest) -> Iterator[Row | Problem]:
    if table.kind == "lines":
        for row in read_objects(folder, table.file):
            yield row if isinstance(row, Problem) else (row[0], _flat(row[1]))
    elif table.kind == "json":
        yield from _json_rows(folder, table.file)
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
            elif len(line[1]) > len(columns) and (
                table.kind == "\t" or dict(table.meaning).get(columns[-1], "given_text") != "given_text"
            ):
                detail = f"line {line[0]}: must have {len(columns)} fields, but has {len(line[1])}"
                yield Problem(path=table.file, reason="bad_line", detail=detail)
            else:
                # A text that stands last may hold delimiters that nobody quoted.
                last = len(columns) - 1
                fields = [*line[1][:last], table.kind.join(line[1][last:])] if len(line[1]) > last else line[1]
                yield line[0], dict(zip(columns, fields, strict=False))


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Objects inside become columns: `{"audio": {"path": "a.wav"}}` has `audio.path`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": one for inner, one in value.items()}
        else:
            flat[key] = value
    return flat


def _json_rows(folder: Folder, file: str) -> Iterator[Row | Problem]:
    """A list of objects, an object of objects, or either of them inside an object; rows are counted from 1."""
    try:
        with folder.open(file) as opened:
            data = opened.read(_MAX_JSON + 1)
        if len(data) > _MAX_JSON:
            detail = f"one JSON value of more than {_MAX_JSON} bytes; JSON lines may be as long as they like"
            yield Problem(path=file, reason="too_large", detail=detail)
            return
        value = json.loads(data.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        yield Problem(path=file, reason="not_json", detail=str(error)[:200])
        return
    if isinstance(value, dict) and (lists := [one for one in value.values() if isinstance(one, list) and one]):
        value = max(lists, key=len)
    if isinstance(value, dict):
        inner = [{_KEY: key, **one} for key, one in value.items() if isinstance(one, dict)]
        # A manifest of one line is an object of plain values.
        value = inner or [value]
    if not isinstance(value, list):
        return
    for number, one in enumerate(value, 1):
        if isinstance(one, dict):
            yield number, _flat(one)
        else:
            yield Problem(
                path=file, reason="bad_line", detail=f"item {number}: must be an object, but is {str(one)[:60]}"
            )
