"""Row class <-> Arrow schema: a frozen dataclass is the one place where a kind's columns are written down.

    @schema("tokens", version=1, id_field="clip_id")
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Tokens: ...

`Tokens.SCHEMA.arrow` is then the Arrow schema, `to_table` and `from_table` convert.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
import pyarrow as pa

from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import hash_json, short

NUM_CODEBOOKS = 8

Codes = Annotated[np.ndarray, "codes"]
"""`[frames, 8]` int16; in Arrow list<fixed_size_list<int16, 8>>."""
TextIds = Annotated[np.ndarray, "text_ids"]
"""`[ids]` int32; in Arrow list<int32>."""

_CODES = pa.list_(pa.list_(pa.int16(), NUM_CODEBOOKS))
_TEXT_IDS = pa.list_(pa.int32())
_SCALARS: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Schema:
    kind: str
    version: int
    id_field: str
    arrow: pa.Schema
    fingerprint: str
    """Of names, types and nullability, in order."""


SCHEMAS: dict[tuple[str, int], Schema] = {}
"""Every version that was ever released stays here, for its readers."""


def schema(kind: str, *, version: int, id_field: str) -> Callable[[type[Row]], type[Row]]:
    """Class decorator: derive the Arrow schema of a row class and register it as `kind` at `version`."""

    def decorate(cls: type[Row]) -> type[Row]:
        metadata = {b"kind": kind.encode(), b"schema_version": str(version).encode()}
        arrow = pa.schema(_fields(cls), metadata=metadata)
        described = [[field.name, str(field.type), field.nullable] for field in arrow]
        entry = Schema(kind, version, id_field, arrow, short(hash_json(described)))
        if SCHEMAS.setdefault((kind, version), entry).fingerprint != entry.fingerprint:
            raise TypeError(f"{kind} version {version} is registered twice with different columns.")
        cls.SCHEMA = entry  # type: ignore[attr-defined]
        return cls

    return decorate


def to_table(rows: Iterable[Any], cls: type[Any]) -> pa.Table:
    """Rows -> a table sorted by id. DataError for a duplicate id."""
    entry: Schema = cls.SCHEMA
    ordered = sorted(rows, key=lambda row: getattr(row, entry.id_field))
    for left, right in zip(ordered, ordered[1:], strict=False):
        if getattr(left, entry.id_field) == getattr(right, entry.id_field):
            raise DataError(f"{entry.kind}: `{entry.id_field}` must be unique, but {getattr(left, entry.id_field)} is there twice.")
    columns = [_column([getattr(row, field.name) for row in ordered], field.type) for field in entry.arrow]
    return pa.Table.from_arrays(columns, schema=entry.arrow)


def from_table(table: pa.Table, cls: type[Row]) -> list[Row]:
    """All rows of a table of `cls`'s schema; codes as int16 `[frames, 8]`."""
    return list(rows(table, cls))


def rows(table: pa.Table, cls: type[Row]) -> Iterator[Row]:
    """The rows of a table one by one; only a batch is converted at a time."""
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for batch in table.select(names).to_batches(max_chunksize=1024):
        columns = [_values(batch.column(name), hints[name]) for name in names]
        for values in zip(*columns, strict=True):
            yield cls(**dict(zip(names, values, strict=True)))


def _fields(cls: type[Any]) -> list[pa.Field]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return [_field(field.name, hints[field.name]) for field in dataclasses.fields(cls)]


def _field(name: str, hint: Any) -> pa.Field:
    inner, nullable = _unwrap(hint)
    return pa.field(name, _type(inner), nullable=nullable)


def _unwrap(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        arguments = [argument for argument in typing.get_args(hint) if argument is not type(None)]
        return arguments[0], True
    return hint, False


def _type(hint: Any) -> pa.DataType:
    if hint == Codes:
        return _CODES
    if hint == TextIds:
        return _TEXT_IDS
    if hint in _SCALARS:
        return _SCALARS[hint]
    if typing.get_origin(hint) is list:
        return pa.list_(_type(typing.get_args(hint)[0]))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return pa.struct(_fields(hint))
    raise TypeError(f"A row class cannot have a column of type {hint}.")


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == _CODES:
        return codes_array(values)
    if kind == _TEXT_IDS:
        offsets = np.concatenate([[0], np.cumsum([len(value) for value in values])]).astype(np.int32)
        flat = np.concatenate([np.asarray(value, np.int32) for value in values]) if values else np.zeros(0, np.int32)
        return pa.ListArray.from_arrays(offsets, pa.array(flat))
    return pa.array([_plain(value) for value in values], kind)


def codes_array(values: list[np.ndarray]) -> pa.Array:
    """`[frames, 8]` arrays -> one Arrow column, by way of flat buffers. DataError where a code does not fit int16."""
    for value in values:
        if value.ndim != 2 or value.shape[1] != NUM_CODEBOOKS:
            raise DataError(f"codes must be [frames, {NUM_CODEBOOKS}], but are {list(value.shape)}.")
        if value.size and (value.min() < 0 or value.max() > np.iinfo(np.int16).max):
            raise DataError(f"codes must lie in 0 … 32767, but go from {value.min()} to {value.max()}.")
    flat = np.concatenate([np.asarray(value, np.int16).reshape(-1) for value in values]) if values else np.zeros(0, np.int16)
    offsets = np.concatenate([[0], np.cumsum([len(value) for value in values])]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(pa.array(flat), NUM_CODEBOOKS))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _values(column: pa.Array, hint: Any) -> list[Any]:
    if hint == Codes:
        return split_codes(column)
    if hint == TextIds:
        flat = column.values.to_numpy(zero_copy_only=False)
        offsets = column.offsets.to_numpy()
        return [flat[start:end] for start, end in zip(offsets, offsets[1:], strict=False)]
    return [_build(value, hint) for value in column.to_pylist()]


def split_codes(column: pa.Array) -> list[np.ndarray]:
    """A codes column -> `[frames, 8]` int16 views of its buffer, one a row."""
    flat = column.values.values.to_numpy(zero_copy_only=True).reshape(-1, NUM_CODEBOOKS)
    base = column.values.offset
    offsets = column.offsets.to_numpy()
    return [flat[base + start : base + end] for start, end in zip(offsets, offsets[1:], strict=False)]


def _build(value: Any, hint: Any) -> Any:
    inner, _ = _unwrap(hint)
    if value is None:
        return None
    if typing.get_origin(inner) is list:
        return [_build(item, typing.get_args(inner)[0]) for item in value]
    if dataclasses.is_dataclass(inner) and isinstance(inner, type):
        hints = typing.get_type_hints(inner)
        return inner(**{name: _build(item, hints[name]) for name, item in value.items()})
    return value
