"""The runs log: what each job cost. Never part of a shard or a manifest, which must not depend on hosts and clocks.

One row:
    {"run_id": "4f…-1", "edge": "raw_to_annotated", "kind": "annotated", "plan_id": "4f…", "host": "n1", "started": 1700000000.0, "seconds": 83.1,
     "cpu_seconds": 150.2, "gpu_seconds": 0.0, "peak_memory_bytes": 1500000000, "hours": 0.17, "rows": 311, "attempts": 7}
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from uniaudio_schemas.fingerprint import canonical_json, hash_json, short
from uniaudio_schemas.store import Store

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    run_id: str
    edge: str
    kind: str
    plan_id: str
    host: str
    started: float
    """Unix time."""
    seconds: float
    """Wall clock."""
    cpu_seconds: float
    gpu_seconds: float
    peak_memory_bytes: int
    """Sum over the job's processes of each one's peak."""
    hours: float
    """Of audio that was worked on."""
    rows: int
    attempts: int
    """Units started, retries included."""


def log_run(store: Store, row: RunRow) -> None:
    """Append one row: a file of its own, so that many jobs log at once."""
    name = f"{row.started:017.3f}-{short(hash_json([row.run_id, row.plan_id]))[:12]}"
    store.files.write_bytes(f"runs/{name}.json", canonical_json(asdict(row)).encode())


def read_runs(store: Store) -> list[RunRow]:
    """All rows in the order of their starts."""
    import json

    texts = [store.files.read_text(f"runs/{name}") for name in store.files.list("runs", ".json")]
    return [RunRow(**json.loads(text)) for text in texts if text]


def scan_runs(store: Store) -> "pl.LazyFrame":
    """The log as a lazy frame."""
    import polars as pl

    return pl.LazyFrame([asdict(row) for row in read_runs(store)])
