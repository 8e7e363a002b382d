"""The runs log: what each job cost. Never part of a shard or a manifest, which must not depend on hosts and clocks.

One row:
    {"run_id": "4f…-1", "edge": "raw_to_annotated", "kind": "annotated", "plan_id": "4f…", "host": "n1", "started": 1700000000.0,
     "seconds": 83.1, "cpu_seconds": 150.2, "gpu_seconds": 0.0, "peak_memory_bytes": 1500000000, "hours": 0.17, "rows": 311, "attempts": 7}
"""

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from uniaudio_schemas.fingerprint import canonical_json, hash_json, short
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.store import Store, layout
from uniaudio_schemas.store.files import TEMPORARY_PREFIX
from uniaudio_schemas.store.lease import STORE_LOCK

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
    """Hours of audio that were worked on."""
    rows: int
    attempts: int
    """Units started, retries included."""
    work: str = "{}"
    """JSON: what the job did besides, such as values computed and reused, CPU-seconds of each annotator."""

    @property
    def hours_per_hour(self) -> float:
        """Hours of audio worked on in an hour of wall clock."""
        return self.hours * 3600 / self.seconds if self.seconds > 0 else 0.0


def log_run(store: Store, row: RunRow) -> None:
    """Append one row: a file of its own, so that many jobs log at once. The same row twice is one."""
    name = f"{row.started:017.3f}-{short(hash_json(asdict(row)))[:12]}"
    with store.files.lock(STORE_LOCK, exclusive=False):
        store.files.write(layout.run_path(name), (canonical_json(asdict(row)) + "\n").encode())


def read_runs(store: Store) -> list[RunRow]:
    """All rows in the order of their starts."""
    runs = []
    for entry in store.files.entries(layout.RUNS):
        data = store.files.read(entry.path)
        if data is not None and not entry.path.rpartition("/")[2].startswith(TEMPORARY_PREFIX):
            runs.append(from_json(RunRow, data, f"{store.root}/{entry.path}"))
    return runs


def scan_runs(store: Store) -> "pl.LazyFrame":
    """The log as a lazy frame, with `hours_per_hour`."""
    import polars as pl

    rows = [{**asdict(row), "hours_per_hour": row.hours_per_hour} for row in read_runs(store)]
    types = {str: pl.String, float: pl.Float64, int: pl.Int64}
    columns = {field.name: types[field.type] for field in fields(RunRow) if isinstance(field.type, type)}
    return pl.LazyFrame(rows, schema={**columns, "hours_per_hour": pl.Float64})
