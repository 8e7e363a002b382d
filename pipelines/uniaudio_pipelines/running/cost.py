"""One row of the runs log for one run of an edge: what it cost, never what it made."""

import socket
import time
from typing import Any

from uniaudio_schemas.fingerprint import canonical_json
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.runs import RunRow, log_run


def log_cost(store: Store, owner: str, summary: dict[str, Any], *, gpu_seconds: float, worked_s: float) -> None:
    """Add the run `owner` to the runs log. `worked_s` is the audio this run itself worked on, in seconds."""
    log_run(
        store,
        RunRow(
            run_id=owner,
            edge=summary["edge"],
            kind=summary["kind"],
            plan_id=summary["plan_id"],
            host=socket.gethostname(),
            started=time.time() - summary["seconds"],
            seconds=summary["seconds"],
            cpu_seconds=summary["cpu_seconds"],
            gpu_seconds=gpu_seconds,
            peak_memory_bytes=summary["peak_memory_bytes"],
            hours=worked_s / 3600,
            rows=summary["rows"],
            attempts=summary["attempts"],
            work=canonical_json(summary.get("work", {})),
        ),
    )
