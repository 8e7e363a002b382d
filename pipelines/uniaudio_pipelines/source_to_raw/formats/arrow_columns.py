"""What the columns of a Hugging Face table are: audio, paths of audio, documents, classes with names.

    layout_of(schema)  ->  Layout(audio=("audio.bytes",), labels=("audio.path", "text", "label"), classes={"label": ("dog", "cat")}, …)

The features that `datasets` writes into the schema's metadata have the first word, then types and names of columns.
"""

import json
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pyarrow as pa

from uniaudio_pipelines.source_to_raw.formats.arrow_tables import ArrowTable
from uniaudio_pipelines.source_to_raw.formats.audio_names import AudioNames, is_audio
from uniaudio_pipelines.source_to_raw.formats.columns import PATHS, SURE_PATHS, plain
from uniaudio_pipelines.source_to_raw.formats.format import Folder
from uniaudio_pipelines.source_to_raw.formats.places import Places

_AUDIO = frozenset(
    {
        "audio",
        "audios",
        "wav",
        "flac",
        "mp3",
        "sound",
        "speech",
        "clip",
        "recording",
        "waveform",
        "audiobytes",
        "audiofile",
        "file",
    }
)
"""Names of columns of bytes that are audio, where no feature says what they are."""
_TEXT = ("text", "content", "document", "body", "article", "raw_content")
_SAMPLE = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    audio: tuple[str, ...] = ()
    """Columns of the audio's bytes, the main one first: `audio.bytes`, or `audio` where the column is bytes itself."""
    text: str = ""
    """Column of a document's text."""
    path: str = ""
    """Column of paths of audio files that lie elsewhere in the corpus: `file_name`, or `audio.path`."""
    labels: tuple[str, ...] = ()
    """Columns that are read for labels."""
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Column of integers -> the names that they stand for."""
    summary: str = ""

    @property
    def is_used(self) -> bool:
        return bool(self.audio or self.path or self.is_text)

    @property
    def is_text(self) -> bool:
        return bool(self.text) and not self.audio and not self.path

    @property
    def contents(self) -> tuple[str, ...]:
        """Columns whose values `open_audio` gives."""
        return self.audio or ((self.text,) if self.text else ())

    def looked_at(self, folder: Folder, path: str, table: ArrowTable, names: AudioNames) -> "Layout":
        """The layout with the column of paths, whose values are files that are there. Texts are documents only where no audio is, which
        they could be transcripts of."""
        layout = self
        if not self.audio:
            column = _path_column(folder, path, table, self.labels, names)
            layout = replace(self, path=column, text="" if column or not names.is_empty else self.text)
        what = (
            f"audio in {', '.join(layout.audio)}"
            if layout.audio
            else f"paths in {layout.path}"
            if layout.path
            else f"documents in {layout.text}"
        )
        return replace(layout, summary=what)


def layout_of(schema: pa.Schema) -> Layout:
    """What names, types and features alone say."""
    features = _features(schema)
    audio = [column for one in schema if (column := _audio_column(one, features.get(one.name)))]
    audio.sort(key=lambda column: plain(column.removesuffix(".bytes")) != "audio")
    taken = {column.partition(".")[0] if column.endswith(".bytes") else column for column in audio}
    labels = [one.name for one in schema if one.name not in taken and _is_said(one.type)]
    labels += [f"{column.removesuffix('.bytes')}.path" for column in audio if _has_path(schema, column)]
    if not audio:
        # Audio that lies elsewhere: a struct of nothing but paths.
        labels += [
            f"{one.name}.path"
            for one in schema
            if pa.types.is_struct(one.type) and one.type.get_field_index("path") >= 0
        ]
    text = next((name for name in _TEXT if name in schema.names and _is_text(schema.field(name).type)), "")
    classes = {name: names for name, said in features.items() if (names := _class_names(said))}
    return Layout(audio=tuple(audio), text=text, labels=tuple(labels), classes=classes)


def _features(schema: pa.Schema) -> dict[str, Any]:
    try:
        value = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _audio_column(one: pa.Field, feature: Any) -> str:
    """Empty where the column holds no audio."""
    kind = feature.get("_type") if isinstance(feature, dict) else None
    is_named = plain(one.name) in _AUDIO or plain(one.name).endswith("audio")
    if kind not in ("Audio", "Value", None) or not (kind == "Audio" or is_named):
        return ""
    if pa.types.is_struct(one.type):
        index = one.type.get_field_index("bytes")
        return f"{one.name}.bytes" if index >= 0 and _is_binary(one.type.field(index).type) else ""
    return one.name if _is_binary(one.type) else ""


def _has_path(schema: pa.Schema, column: str) -> bool:
    name = column.removesuffix(".bytes")
    return name != column and schema.field(name).type.get_field_index("path") >= 0


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_said(kind: pa.DataType) -> bool:
    """Whether a column can say something: words and numbers, lists of words, and of words with times."""
    if pa.types.is_dictionary(kind):
        return _is_said(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_text(kind.value_type) or pa.types.is_struct(kind.value_type) or pa.types.is_integer(kind.value_type)
    if pa.types.is_struct(kind):
        return (
            all(_is_said(kind.field(index).type) for index in range(kind.num_fields))
            and kind.get_field_index("path") < 0
        )
    return _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _class_names(feature: Any) -> tuple[str, ...]:
    """Names of a `ClassLabel`, or of a list of them."""
    if isinstance(feature, list) and feature:
        return _class_names(feature[0])
    if not isinstance(feature, dict):
        return ()
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return tuple(str(name) for name in feature["names"])
    return _class_names(feature.get("feature"))


def _path_column(folder: Folder, path: str, table: ArrowTable, labels: tuple[str, ...], names: AudioNames) -> str:
    """The column whose values are audio files of the corpus; else one that can hold nothing else."""
    columns = [column for column in labels if plain(column.removesuffix(".path")) in PATHS]
    if not columns:
        return ""
    columns.sort(key=lambda column: PATHS.index(plain(column.removesuffix(".path"))))
    places = Places(folder, path)
    first = [row[1] for row in islice(table.rows(columns), _SAMPLE) if not isinstance(row, str)]
    said = {column: [value for row in first if isinstance(value := path_in(row, column), str)] for column in columns}
    for column in columns:
        if any(places.find(value) or names.find(value) for value in said[column]):
            return column
    sure = (column for column in columns if plain(column.removesuffix(".path")) in SURE_PATHS)
    return next((column for column in sure if any(is_audio(value) for value in said[column])), "")


def path_in(row: dict[str, Any], column: str) -> Any:
    name, _, inner = column.partition(".")
    value = row.get(name)
    return value.get(inner) if inner and isinstance(value, dict) else value
