"""Datasets of Hugging Face: Parquet files, and the Arrow files of `save_to_disk`, with audio in a column, paths of audio, or documents.

Reads    data/train-00000-of-00003.parquet   {"audio": {"bytes": …, "path": "a.wav"}, "sentence": "A B", "speaker_id": 7, "label": 1}
Row out  Label(path="data/train-00000-of-00003.parquet/17", utterance="a", given_text="A B", speaker="7", given_tags=("cat",), split="train")
         of a table of texts alone: Label(path="wiki/train-00000.parquet/17", domain="text", given_title="Anarchism"), whose bytes are the text

Integers of classes become their names, which the schema's metadata hold. Listing reads labels and no audio.
Source: https://huggingface.co/docs/datasets
"""

import functools
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from uniaudio_schemas.errors import DataError

from uniaudio_pipelines.source_to_raw.formats.arrow_columns import Layout, layout_of
from uniaudio_pipelines.source_to_raw.formats.arrow_labels import TableLabels
from uniaudio_pipelines.source_to_raw.formats.arrow_tables import ArrowTable, open_table
from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames
from uniaudio_pipelines.source_to_raw.formats.format import Claim, Folder, Label, Problem

MAX_BYTES = 2 << 30
_SUFFIXES = (".parquet", ".arrow")
_STATE, _INFO = "state.json", "dataset_info.json"
_ABOUT = frozenset({_STATE, _INFO, "dataset_dict.json", "dataset_infos.json"})
_MAX_JSON = 64 << 20


class HuggingFace:
    name: ClassVar[str] = "hugging_face"

    def claim(self, folder: Folder) -> Claim | None:
        kinds: dict[str, list[str]] = {}
        left_out = _left_out(folder)
        for path in folder.paths:
            if path.lower().endswith(_SUFFIXES) and path not in left_out:
                kinds.setdefault(re.sub(r"\d+", "#", path), []).append(path)
        names = AudioNames(folder)
        layouts = {pattern: _first_layout(folder, paths, names) for pattern, paths in kinds.items()}
        used = {
            path: layouts[pattern] for pattern, paths in kinds.items() if layouts[pattern] is not None for path in paths
        }
        if not used:
            return None
        containers = tuple(sorted(path for path, layout in used.items() if layout and (layout.audio or layout.is_text)))
        parents = {posixpath.dirname(path) for path in used} | {
            posixpath.dirname(posixpath.dirname(path)) for path in used
        }
        about = {
            path for path in folder.paths if posixpath.basename(path) in _ABOUT and posixpath.dirname(path) in parents
        }
        labels = tuple(sorted((set(used) - set(containers)) | about | left_out))
        said = dict.fromkeys(layout.summary for layout in used.values() if layout)
        summary = f"Hugging Face: {len(used)} tables ({'; '.join(said)})"
        return Claim(
            format=self.name,
            label_files=labels,
            containers=containers,
            summary=summary,
            details={"tables": sorted(used)},
        )

    def labels(self, folder: Folder, claim: Claim) -> Iterator[Label | Problem]:
        names = AudioNames(folder)
        for path in claim.details["tables"]:
            try:
                table = open_table(folder.absolute(path))
            except DataError as error:
                yield _unreadable(path, error, folder)
                continue
            yield from TableLabels(folder, path, table, names, _licence(folder, path)).labels()

    def open_audio(self, file: Path, member: str) -> bytes:
        """The audio of a row, or its text in UTF-8 where the table holds documents. Quick for rows in their order."""
        number, _, column = member.partition("/")
        try:
            status, row = file.stat(), int(number)
        except (OSError, ValueError) as error:
            raise DataError(f"{file}/{member}: cannot be read: {error}.") from error
        value = _cursor(file, status.st_size, status.st_mtime_ns, column).value(row)
        if value is None:
            raise DataError(f"{file}/{member}: there is nothing in this row.")
        return _bytes(f"{file}/{member}", value)

    def walk(self, file: Path) -> Iterator[tuple[str, bytes]]:
        table = open_table(file)
        layout = layout_of(table.schema)
        for index, column in enumerate(layout.contents):
            for row, value in table.values(column, 0):
                name = column.removesuffix(".bytes")
                if value is not None:
                    yield (f"{row}/{name}" if index else str(row)), _bytes(f"{file}/{row}", value)


def _bytes(where: str, value: Any) -> bytes:
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if not isinstance(data, bytes) or len(data) > MAX_BYTES:
        raise DataError(f"{where}: must be at most {MAX_BYTES} bytes.")
    return data


class _Cursor:
    """One column of one table, read from row to row."""

    def __init__(self, table: ArrowTable, column: str) -> None:
        self._table, self._column = table, column
        self._values: Iterator[tuple[int, Any]] = iter(())
        self._next = -1

    def value(self, row: int) -> Any:
        """Value of a row; None where there is no such row."""
        if not self._next <= row <= self._next + 1000 or self._next < 0:
            self._values, self._next = self._table.values(self._column, row), row
        for number, value in self._values:
            self._next = number + 1
            if number == row:
                return value
        self._next = -1
        return None


@functools.lru_cache(maxsize=4)
def _cursor(file: Path, size: int, mtime_ns: int, column: str) -> _Cursor:
    """Size and time are arguments so that a file that has changed is opened again. `column`: empty for the first that holds audio."""
    table = open_table(file)
    contents = layout_of(table.schema).contents
    columns = [one for one in contents if one.removesuffix(".bytes") == column] if column else contents[:1]
    if not columns:
        raise DataError(f"{file}: holds neither audio nor text{f' in a column {column}' if column else ''}.")
    return _Cursor(table, columns[0])


def _first_layout(folder: Folder, paths: list[str], names: AudioNames) -> Layout | None:
    """What the first of like tables that can be read holds; where none can be, they are claimed too: their labels say what is wrong."""
    for path in paths[:3]:
        try:
            table = open_table(folder.absolute(path))
        except DataError:
            continue
        layout = layout_of(table.schema).looked_at(folder, path, table, names)
        return layout if layout.is_used else None
    return Layout(summary="broken")


def _left_out(folder: Folder) -> set[str]:
    """Arrow files in a dataset's folder that are not of it: what `datasets` has cached beside them."""
    left_out: set[str] = set()
    for path in folder.paths:
        parent, name = posixpath.split(path)
        files = _read(folder, path).get("_data_files") if name == _STATE else None
        if isinstance(files, list) and (named := {one.get("filename") for one in files if isinstance(one, dict)}):
            inside = [
                other for other in folder.paths if posixpath.dirname(other) == parent and other.endswith(".arrow")
            ]
            left_out.update(other for other in inside if posixpath.basename(other) not in named)
    return left_out


def _licence(folder: Folder, path: str) -> str | None:
    said = _read(folder, posixpath.join(posixpath.dirname(path), _INFO)).get("license")
    return said.strip() or None if isinstance(said, str) else None


def _read(folder: Folder, path: str) -> dict[str, Any]:
    """A file of JSON that a dataset may have; one that is missing or broken says nothing."""
    try:
        with folder.open(path) as file:
            value = json.loads(file.read(_MAX_JSON))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _unreadable(path: str, error: DataError, folder: Folder) -> Problem:
    return Problem(path=path, reason="unreadable", detail=str(error).replace(f"{folder.absolute(path)}: ", ""))
