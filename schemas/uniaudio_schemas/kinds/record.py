"""Row class <-> Arrow schema: a frozen dataclass says what a row is, once.

    @schema("tokens", version=1, id_field="clip_id")
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Tokens:
        clip_id: str                 # string not null
        num_samples: int             # int64 not null
        reasoning_codes: Codes       # list<fixed_size_list<int16, 8>> not null

    table = to_table(rows, Tokens)   # sorted by id, record batches of 1024 rows
    rows = from_table(table, Tokens)

`X | None` is nullable, `list[X]` a list, a nested dataclass a struct. Types, ranges and nulls are checked.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, TypeVar

import numpy as np
import pyarrow as pa

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.fingerprint import hash_json
from uniaudio_schemas.kinds.arrays import CODES_TYPE, LANDMARKS_TYPE, TEXT_IDS_TYPE, array_column, array_values
from uniaudio_schemas.kinds.ids import Names, Relation, relations

Codes = Annotated[np.ndarray, "codes"]
"""`[frames, 8]` int16."""
TextIds = Annotated[np.ndarray, "text_ids"]
"""`[positions]` int32."""
Landmarks = Annotated[np.ndarray, "landmarks"]
"""`[landmarks]` int64."""

BATCH_ROWS = 1024
"""Rows of a record batch: a random row costs one small batch, a scan few calls."""

R = TypeVar("R")

_SCALARS: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_ARRAYS = {"codes": CODES_TYPE, "text_ids": TEXT_IDS_TYPE, "landmarks": LANDMARKS_TYPE}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schema:
    """What `@schema` derives from a row class."""

    kind: str
    version: int
    id_field: str
    unique: bool
    """False where two rows may share an id (only `dropped`)."""
    arrow: pa.Schema
    """Arrow schema, with `kind` and `schema_version` in its metadata."""
    row_class: type[Any]
    hints: dict[str, Any]
    """Field -> its type, without `| None`."""
    relations: tuple[Relation, ...]
    """What its ids name."""

    @functools.cached_property
    def fingerprint(self) -> str:
        """64 hex digits over everything that readers depend on."""
        return hash_json(self.describe())

    @property
    def own_id(self) -> Names:
        """What the rows' own ids are of."""
        return next((one.names for one in self.relations if one.path == (self.id_field,)), Names(what=""))

    def describe(self) -> dict[str, Any]:
        """What `schema_lock.json` keeps of a released version."""
        columns = [f"{field.name}: {_describe(field)}" for field in self.arrow]
        return {"kind": self.kind, "version": self.version, "id_field": self.id_field, "columns": columns}


SCHEMAS: dict[tuple[str, int], Schema] = {}
"""Every known (kind, version)."""


def schema(kind: str, version: int, id_field: str, *, unique: bool = True) -> Callable[[type[R]], type[R]]:
    """Register a frozen dataclass as the row of `kind` at `version`; sets `SCHEMA` on it."""

    def register(cls: type[R]) -> type[R]:
        hints = typing.get_type_hints(cls, include_extras=True)
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        metadata = {b"kind": kind.encode(), b"schema_version": str(version).encode()}
        new_schema = Schema(
            kind=kind,
            version=version,
            id_field=id_field,
            unique=unique,
            arrow=pa.schema([_field(name, hints[name]) for name in names], metadata=metadata),
            row_class=cls,
            hints={name: _without_none(hints[name])[0] for name in names},
            relations=relations(cls),
        )
        if new_schema.arrow.field(id_field) != pa.field(id_field, pa.string(), nullable=False):
            raise UsageError(f"`id_field` must be a str column of {cls.__name__}, but is {id_field!r}.")
        registered = SCHEMAS.get((kind, version))
        if registered is not None and registered.fingerprint != new_schema.fingerprint:
            raise UsageError(
                f"`version` must be new: {kind} v{version} is {registered.row_class.__qualname__} already."
            )
        SCHEMAS[(kind, version)] = new_schema
        setattr(cls, "SCHEMA", new_schema)  # noqa: B010 (type checkers know no such attribute)
        if any(_array_name(hint) for hint in new_schema.hints.values()):
            _compare_arrays(cls, names)
        return cls

    return register


def schema_of(row_class: type[Any]) -> Schema:
    schema = getattr(row_class, "SCHEMA", None)
    if not isinstance(schema, Schema):
        raise UsageError(f"`schema_class` must be a class with @schema, but is {row_class!r}.")
    return schema


def to_table(rows: Iterable[Any], schema_class: type[Any]) -> pa.Table:
    """Rows -> table sorted by id, in batches of 1024; a duplicate id or a value of the wrong type is a `DataError`."""
    schema = schema_of(schema_class)
    rows = list(rows)
    for row in rows:
        if not isinstance(row, schema_class):
            raise UsageError(f"`rows` must be of {schema_class.__name__}, but one is of {type(row).__name__}.")
        if not isinstance(getattr(row, schema.id_field), str):
            raise DataError(
                f"{schema.kind}: `{schema.id_field}` must be a str, but is {getattr(row, schema.id_field)!r}."
            )
    rows.sort(key=(lambda row: getattr(row, schema.id_field)) if schema.unique else dataclasses.astuple)
    batches = [_batch(rows[i : i + BATCH_ROWS], schema) for i in range(0, len(rows), BATCH_ROWS)]
    check_ids((getattr(row, schema.id_field) for row in rows), schema)
    return pa.Table.from_batches(batches, schema=schema.arrow)


def from_table(table: pa.Table, cls: type[R]) -> list[R]:
    """Table -> rows. Arrays are read-only views of the table's memory."""
    return list(rows(table, cls))


def rows(table: pa.Table, cls: type[R]) -> Iterator[R]:
    """Rows one after the other, a record batch at a time in memory."""
    schema = schema_of(cls)
    for field in () if table.schema.equals(schema.arrow) else schema.arrow:
        index = table.schema.get_field_index(field.name)
        if index < 0 or table.schema.field(index).type != field.type:
            has = "is not there" if index < 0 else f"is {table.schema.field(index).type}"
            raise DataError(f"{schema.kind} table: column `{field.name}` must be {field.type}, but {has}.")
    for batch in table.select(schema.arrow.names).to_batches():
        columns = [_values(batch.column(name), schema.hints[name]) for name in schema.arrow.names]
        for values in zip(*columns, strict=True):
            yield cls(**dict(zip(schema.arrow.names, values, strict=True)))


def check_ids(ids: Iterable[str], row_schema: Schema) -> None:
    """Sorted ids: raises where two neighbours are equal."""
    previous = None
    for current in ids:
        if current == previous and row_schema.unique:
            raise DataError(
                f"{row_schema.kind}: `{row_schema.id_field}` must be unique, but {current!r} is there twice."
            )
        previous = current


def _field(name: str, hint: Any) -> pa.Field:
    inner, nullable = _without_none(hint)
    return pa.field(name, _arrow_type(inner), nullable=nullable)


def _arrow_type(hint: Any) -> pa.DataType:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if typing.get_origin(hint) is Annotated and not _array_name(hint):
        return _arrow_type(typing.get_args(hint)[0])
    if array := _array_name(hint):
        return _ARRAYS[array]
    if typing.get_origin(hint) is list:
        return pa.list_(_arrow_type(typing.get_args(hint)[0]))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint, include_extras=True)
        return pa.struct([_field(field.name, hints[field.name]) for field in dataclasses.fields(hint)])
    raise UsageError(f"A field must be str, int, float, bool, an array, a list or a dataclass, but is {hint!r}.")


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [argument for argument in typing.get_args(hint) if argument is not type(None)]
        if len(inner) == 1:
            return inner[0], True
    return hint, False


def _array_name(hint: Any) -> str:
    if typing.get_origin(hint) is Annotated:
        name = hint.__metadata__[0]
        return name if isinstance(name, str) and name in _ARRAYS else ""
    return ""


def _batch(rows: list[Any], row_schema: Schema) -> pa.RecordBatch:
    columns = []
    for field in row_schema.arrow:
        values = [getattr(row, field.name) for row in rows]
        try:
            columns.append(_column(values, field, row_schema.hints[field.name]))
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            row_id = _first_bad(rows, field, row_schema)
            raise DataError(f"{row_schema.kind} row {row_id!r}: column `{field.name}`: {error}") from error
    return pa.RecordBatch.from_arrays(columns, schema=row_schema.arrow)


def _first_bad(rows: list[Any], field: pa.Field, row_schema: Schema) -> str:
    for row in rows:
        try:
            _column([getattr(row, field.name)], field, row_schema.hints[field.name])
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            return str(getattr(row, row_schema.id_field))
    return "?"


def _column(values: list[Any], field: pa.Field, hint: Any) -> pa.Array:
    is_array = bool(_array_name(hint))
    column = array_column(values, field.type) if is_array else pa.array(_plain(values), type=field.type)
    check_nulls(column, field)
    return column


def check_nulls(array: pa.Array, field: pa.Field) -> None:
    """No null where the schema has none; Arrow itself checks this nowhere."""
    if array.null_count and not field.nullable:
        raise ValueError(f"{field.name} must not be None")
    if pa.types.is_struct(field.type):
        present = array.drop_null()
        for index in range(field.type.num_fields):
            check_nulls(present.field(index), field.type.field(index))
    elif pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
        check_nulls(array.flatten(), field.type.value_field.with_nullable(False).with_name(f"item of {field.name}"))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _values(column: pa.Array, hint: Any) -> list[Any]:
    if _array_name(hint):
        return array_values(column)
    values = column.to_pylist()
    build = _builder(hint)
    return values if build is None else [None if value is None else build(value) for value in values]


@functools.cache
def _builder(hint: Any) -> Callable[[Any], Any] | None:
    """What turns plain values back into nested dataclasses; None where nothing has to be done."""
    hint = _without_none(hint)[0]
    if typing.get_origin(hint) is list:
        item = _builder(typing.get_args(hint)[0])
        return None if item is None else lambda values: [item(value) for value in values]
    if not (dataclasses.is_dataclass(hint) and isinstance(hint, type)):
        return None
    inner = {name: _builder(one) for name, one in typing.get_type_hints(hint, include_extras=True).items()}

    def build(values: dict[str, Any]) -> Any:
        made = {}
        for name, value in values.items():
            convert = inner[name]
            made[name] = value if convert is None or value is None else convert(value)
        return hint(**made)

    return build


def _describe(field: pa.Field) -> str:
    """Our own words, so that a change in how Arrow prints types does not look like a change of schema."""
    return _describe_type(field.type) + ("" if field.nullable else " not null")


def _describe_type(arrow: pa.DataType) -> str:
    if pa.types.is_struct(arrow):
        return "struct<" + ", ".join(f"{field.name}: {_describe(field)}" for field in arrow.fields) + ">"
    if pa.types.is_fixed_size_list(arrow):
        return f"fixed_size_list<{_describe_type(arrow.value_type)}, {arrow.list_size}>"
    if pa.types.is_list(arrow):
        return f"list<{_describe_type(arrow.value_type)}>"
    return str(arrow)


def _compare_arrays(cls: type[Any], names: list[str]) -> None:
    """`==` of rows with arrays compares the arrays' shapes and elements; the generated one would raise."""

    def equal(self: Any, other: object) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        pairs = ((getattr(self, name), getattr(other, name)) for name in names)
        return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)

    cls.__eq__ = equal  # type: ignore[assignment]
    cls.__hash__ = None  # type: ignore[assignment]
