"""`dropped`: a row that did not make it, and why. Written beside the shard it is missing from.

Written by  every edge
Read by     the report, `store.dropped(manifest)`

One row:
    {"row_id": "queen/DALT0001.mp3", "reason": "too_short", "detail": "0.041 s, at least 0.1 s", "unit": "queen-00003"}
"""

from dataclasses import dataclass

from uniaudio_schemas.kinds.record import schema


@schema("dropped", version=1, id_field="row_id", unique=False)
@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    row_id: str
    """Id or path of what was dropped; may be dropped twice, for two reasons."""
    reason: str
    """Short snake_case word: what is counted."""
    detail: str = ""
    """Explanation for a person."""
    unit: str = ""
    """Filled in by the store."""
