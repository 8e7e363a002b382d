"""The labels of one Hugging Face table, row by row.

Row in   {"audio": {"bytes": …, "path": "a.wav"}, "sentence": "A B", "label": 1}
Row out  Label(path="train.parquet/17", utterance="a", given_text="A B", given_tags=("cat",), said_by="train.parquet: row 17")
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.raw import Fact

from uniaudio_pipelines.source_to_raw.formats.arrow_columns import layout_of, path_in
from uniaudio_pipelines.source_to_raw.formats.arrow_tables import ArrowTable
from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames, stem_of
from uniaudio_pipelines.source_to_raw.formats.format import Folder, Label, Problem
from uniaudio_pipelines.source_to_raw.formats.places import Places, split_of
from uniaudio_pipelines.source_to_raw.formats.samples import Samples


class TableLabels:
    def __init__(self, folder: Folder, path: str, table: ArrowTable, names: AudioNames, licence: str | None) -> None:
        """`names`: the audio files of the folder."""
        self._path, self._table, self._licence = path, table, licence
        self._layout = layout_of(table.schema).looked_at(folder, path, table, names)
        self._samples = Samples(folder)
        self._places, self._names = Places(folder, path), names
        self._split = split_of(folder, path)

    def labels(self) -> Iterator[Label | Problem]:
        layout = self._layout
        columns = [column for column in layout.labels if not (layout.is_text and column == layout.text)]
        audio = [(column.removesuffix(".bytes"), _Presence(self._table.is_there(column))) for column in layout.audio]
        try:
            for row in self._table.rows(columns):
                if isinstance(row, str):
                    yield self._problem("unreadable", row)
                    continue
                number, values = row
                there = [column for column, presence in audio if presence.of(number)]
                try:
                    yield from self._of_row(number, self._named(values), there)
                except ValueError as error:
                    yield self._problem("bad_row", f"row {number}: {error}")
        except DataError as error:
            yield self._problem("unreadable", str(error).partition(": ")[2])

    def _problem(self, reason: str, detail: str) -> Problem:
        return Problem(path=self._path, reason=reason, detail=detail)

    def _named(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values with names of classes in place of their numbers."""
        for column, names in self._layout.classes.items():
            if column in values:
                said = values[column]
                values[column] = [_name(names, one) for one in said] if isinstance(said, list) else _name(names, said)
        return values

    def _of_row(self, number: int, values: dict[str, Any], there: list[str]) -> Iterator[Label | Problem]:
        """`there`: columns that hold audio in this row."""
        known: dict[str, Any] = {
            "split": self._split,
            "licence": self._licence,
            "said_by": f"{self._path}: row {number}",
        }
        place, layout = f"{self._path}/{number}", self._layout
        if layout.is_text:
            yield replace(self._samples.label(place, values, **known), domain="text")
            return
        columns = [column.removesuffix(".bytes") for column in layout.audio]
        inside = {column: values.pop(column, None) for column in {*columns, layout.path.partition(".")[0]}}
        for column in there:
            name = path_in(inside, f"{column}.path")
            utterance = stem_of(name) if isinstance(name, str) and name else None
            if column == columns[0]:
                label = self._samples.label(place, values, utterance=utterance, **known)
            else:
                # What the row says is said of its main audio; the others stay in one split with it.
                label = Label(
                    path=f"{place}/{column}", utterance=utterance, facts=(Fact(name="column", value=column),), **known
                )
            yield label if len(columns) == 1 else replace(label, split_group=label.split_group or place)
        if not there:
            yield self._elsewhere(number, path_in(inside, layout.path or f"{columns[0]}.path"), values, known)

    def _elsewhere(self, number: int, name: Any, values: dict[str, Any], known: dict[str, Any]) -> Label | Problem:
        """The label of a file of the corpus that a row names."""
        if not isinstance(name, str) or not name:
            return self._problem("no_audio", f"row {number}: has neither audio nor a path")
        path = self._places.find(name) or self._names.find(name)
        if path is None:
            return self._problem("missing", f"row {number}: {name[:200]} must be a file of the corpus, but is none")
        return self._samples.label(path, values, is_cut=False, **known)


class _Presence:
    """Whether rows have audio, asked in their order."""

    def __init__(self, rows: Iterator[tuple[int, bool]]) -> None:
        self._rows = rows

    def of(self, number: int) -> bool:
        return next((is_there for row, is_there in self._rows if row == number), False)


def _name(names: tuple[str, ...], value: Any) -> Any:
    """-1 stands for no class."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    return names[value] if 0 <= value < len(names) else None if value == -1 else value
