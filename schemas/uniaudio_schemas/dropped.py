"""`dropped`: a row that did not make it, and why. Nothing disappears silently.

One row:
    {"drop_id": "…", "row_id": "queen/020006J1.mp3", "reason": "unreadable", "detail": "no frame could be decoded", "unit": "queen-00000"}
"""

from dataclasses import dataclass

from uniaudio_schemas.fingerprint import hash_json, short
from uniaudio_schemas.record import schema


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """As a worker reports it."""

    row_id: str
    """Of what was dropped: an id, or a path."""
    reason: str
    """A short snake_case word, counted in the manifest."""
    detail: str = ""
    unit: str = ""


@schema("dropped", version=1, id_field="drop_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class DroppedRow:
    drop_id: str
    row_id: str
    reason: str
    detail: str
    unit: str


def dropped_rows(dropped: list[Dropped], unit: str) -> list[DroppedRow]:
    """With ids: equal reports of one row are one."""
    found = {}
    for item in dropped:
        fields = {"row_id": item.row_id, "reason": item.reason, "detail": item.detail, "unit": unit}
        drop_id = short(hash_json(fields))
        found[drop_id] = DroppedRow(drop_id=drop_id, **fields)
    return list(found.values())
