"""Instructions as an Arrow table, column by column: a unit has a hundred thousand segments, and a dictionary for each costs more than
building the examples does."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
from uniaudio_schemas.kinds.instructions import Instruction, InstructionSegment, Recipe
from uniaudio_schemas.kinds.record import schema_of

_SCHEMA = schema_of(Instruction).arrow
_ITEMS: dict[str, type[Any]] = {"segments": InstructionSegment, "recipes": Recipe}
"""Columns that are lists of dataclasses."""


def table_of(instructions: Sequence[Instruction]) -> pa.Table:
    """Rows in the order of their ids, as `uniaudio_schemas.kinds.record.to_table` gives them."""
    rows = sorted(instructions, key=lambda row: row.instruction_id)
    return pa.table([_column(field, [getattr(row, field.name) for row in rows]) for field in _SCHEMA], schema=_SCHEMA)


def _column(field: pa.Field, values: list[Any]) -> pa.Array:
    item = _ITEMS.get(field.name)
    if item is None:
        return pa.array(values, field.type)
    offsets = np.concatenate([[0], np.cumsum([len(some) for some in values])])
    flat = [one for some in values for one in some]
    kinds = field.type.value_type
    parts = [pa.array([getattr(one, part.name) for one in flat], kinds.field(part.name).type) for part in fields(item)]
    items = pa.StructArray.from_arrays(parts, fields=list(kinds))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items, type=field.type)
