"""Rows of released versions that are not the newest, and how each becomes the next. What a field meant stands in the newest class.

A column that the old version had not is empty in the migrated rows: nobody measured it.
"""

from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any

import pyarrow as pa

from uniaudio_schemas.kinds.annotated import Annotated, Annotation, Word
from uniaudio_schemas.kinds.checkpoint import Checkpoint, HeldOutLoss
from uniaudio_schemas.kinds.cuts import Cut
from uniaudio_schemas.kinds.migrations import migration
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import Schema, schema, schema_of


@schema("raw", version=1, id_field="clip_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class RawV1:
    clip_id: str
    medium: str
    corpus: str
    path: str
    sha256: str
    domain: str
    licence: str
    sample_rate: int = 0
    num_samples: int = 0
    channels: int = 0
    tar: str = ""
    tar_offset: int = 0
    tar_size: int = 0
    text: str | None = None
    speaker: str | None = None
    given_text: str | None = None
    given_title: str | None = None
    given_tags: list[str] = field(default_factory=list)
    language: str | None = None
    split_group: str | None = None
    part_of: str | None = None
    part: str | None = None


@schema("annotated", version=1, id_field="clip_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedV1:
    clip_id: str
    raw_clip_id: str
    corpus: str
    path: str
    domain: str
    licence: str
    split: str
    first_sample: int = 0
    num_samples: int = 0
    sample_rate: int = 0
    channels: int = 0
    text: str | None = None
    language: str | None = None
    transcript: str | None = None
    words: list[Word] = field(default_factory=list)
    given_text: str | None = None
    speaker: str | None = None
    speaker_embedding: list[float] = field(default_factory=list)
    caption: str | None = None
    lyrics: str | None = None
    tags: list[str] = field(default_factory=list)
    tempo_bpm: float | None = None
    key: str | None = None
    instruments: list[str] = field(default_factory=list)
    loudness_lufs: float | None = None
    snr_db: float | None = None
    mos: float | None = None
    speech_fraction: float | None = None
    duplicate_cluster: str | None = None
    part_of: str | None = None
    part: str | None = None
    annotations: list[Annotation] = field(default_factory=list)


def _without(name: str, newest: type[Any], *columns: str, **types: Any) -> type[Any]:
    """The row class as it was before it had `columns`, where fields had other `types`; `schema_lock.json` holds it to that."""
    kept = [
        (one.name, types.get(one.name, one.type), field(default=one.default, default_factory=one.default_factory))
        for one in fields(newest)
        if one.name not in columns
    ]
    return make_dataclass(name, kept, frozen=True, kw_only=True, slots=True)


CutV1: type[Any] = schema("cuts", version=1, id_field="clip_id")(_without("CutV1", Cut, "unsaid_s"))
AnnotatedV2: type[Any] = schema("annotated", version=2, id_field="clip_id")(
    _without("AnnotatedV2", Annotated, "unsaid_s")
)
HeldOutLossV1: type[Any] = _without("HeldOutLossV1", HeldOutLoss, "uniform", "unigram")
CheckpointV1: type[Any] = schema("checkpoint", version=1, id_field="checkpoint_id")(
    _without("CheckpointV1", Checkpoint, held_out=list[HeldOutLossV1])  # type: ignore[valid-type]
)


@migration("raw", from_version=1)
def raw_with_what_the_source_says(table: pa.Table) -> pa.Table:
    return _with_empty_columns(table, schema_of(Raw))


@migration("annotated", from_version=1)
def annotated_with_measures(table: pa.Table) -> pa.Table:
    return _with_empty_columns(table, schema_of(AnnotatedV2))


@migration("annotated", from_version=2)
def annotated_with_unsaid_speech(table: pa.Table) -> pa.Table:
    return _with_empty_columns(table, schema_of(Annotated))


@migration("cuts", from_version=1)
def cuts_with_unsaid_speech(table: pa.Table) -> pa.Table:
    return _with_empty_columns(table, schema_of(Cut))


@migration("checkpoint", from_version=1)
def checkpoint_with_chance(table: pa.Table) -> pa.Table:
    losses = [
        [{"uniform": None, "unigram": None, **loss} for loss in held_out] for held_out in table["held_out"].to_pylist()
    ]
    column = schema_of(Checkpoint).arrow.field("held_out")
    return table.set_column(table.schema.get_field_index("held_out"), column, pa.array(losses, column.type))


def _with_empty_columns(table: pa.Table, target: Schema) -> pa.Table:
    """`table` and the columns of `target` that it lacks: null where they may be, else an empty list or zero."""
    for column in target.arrow:
        if column.name not in table.schema.names:
            empty = pa.nulls(len(table), column.type) if column.nullable else _zeros(len(table), column.type)
            table = table.append_column(column, empty)
    return table


def _zeros(num_rows: int, arrow: pa.DataType) -> pa.Array:
    if pa.types.is_list(arrow):
        return pa.ListArray.from_arrays(
            pa.array([0] * (num_rows + 1), pa.int32()), pa.array([], arrow.value_type), type=arrow
        )
    zero: object = "" if pa.types.is_string(arrow) else 0
    return pa.array([zero] * num_rows, arrow)
