"""What a flow run shows in Prefect: how far it is, edge by edge and as a whole, and tables of what was made and what it cost.

A Prefect server that is away does not end the work: what could not be shown is left out, and the log says so once.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from uniaudio_schemas.durations import spoken
from uniaudio_schemas.store.manifest import Manifest

Log = logging.Logger | logging.LoggerAdapter[Any]

COLUMNS = ("kind", "state", "rows", "audio", "dropped", "seconds", "CPU seconds", "peak memory", "content id")
"""Columns of the table of results. Prefect's page shows only columns that the first row has."""
_INTERVAL_S = 1.0
"""A bar moves once a second at most: an edge of ten thousand shards does not ask the server ten thousand times."""


@dataclass
class Board:
    """Where a run shows what it does: a bar for the whole way and a table of all its edges."""

    flow: str
    kinds: list[str]
    """Kinds in the order in which they are made."""
    log: Log
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Kind -> its line of the table."""
    _bar: "_Bar | None" = None
    _is_away: bool = False

    def whole(self, kind: str, share: float) -> None:
        """`share`: of the work on `kind`, 0 to 1."""
        if len(self.kinds) == 1:
            return  # its own bar shows the same
        self._bar = self._bar or _Bar(self, f"{self.flow}-progress")
        at = self.kinds.index(kind)
        self._bar.move((at + share) / len(self.kinds), f"{at + 1} of {len(self.kinds)}: {kind}")

    def table(self) -> None:
        """Show the table of results at the end of the run, however it ended."""
        key = f"{self.flow}-result"
        rows = [{name: row.get(name, "") for name in COLUMNS} for row in self.rows.values()]
        self.show(lambda: create_table_artifact(table=rows, key=key, description=f"What {self.flow} came to"))

    def show(self, call: Callable[[], Any]) -> Any:
        """What the call gives, None where the server is away."""
        try:
            answer = call()
        except httpx.HTTPError as error:
            if not self._is_away:
                self.log.warning("the Prefect server does not answer (%s): the job goes on unseen", error)
            self._is_away = True
            return None
        self._is_away = False
        return answer


class Shown:
    """What is shown of one edge."""

    def __init__(self, board: Board, kind: str) -> None:
        self.board, self.kind = board, kind
        self._bar = _Bar(board, f"{kind}-progress")

    def progress(self, share: float) -> None:
        """`share`: of the units, 0 to 1."""
        self._bar.move(share, f"making {self.kind}")
        self.board.whole(self.kind, share)

    def up_to_date(self, manifest: Manifest) -> None:
        self.board.rows[self.kind] = {**_row(manifest), "state": "was there"}
        self.board.whole(self.kind, 1.0)

    def made(self, manifest: Manifest, summary: dict[str, Any], edge: str) -> None:
        """Rows, dropped rows by reason, and what it cost."""
        row = {**_row(manifest), **_measured(summary), "state": "made"}
        self.board.rows[self.kind] = row
        key, about = f"{self.kind}-result", f"{edge}, {manifest.plan_id}"
        self.board.show(
            lambda: create_table_artifact(
                table=[{name: row.get(name, "") for name in COLUMNS}], key=key, description=about
            )
        )

    def failed(self, reason: str) -> None:
        self.board.rows[self.kind] = {"kind": self.kind, "state": f"failed: {reason}"}


class _Bar:
    """A progress artifact, made at the first move."""

    def __init__(self, board: Board, key: str) -> None:
        self._board, self._key = board, key
        self._artifact: Any = None
        self._moved_at = -_INTERVAL_S

    def move(self, share: float, about: str) -> None:
        if share < 1.0 and time.monotonic() - self._moved_at < _INTERVAL_S:
            return
        self._moved_at = time.monotonic()
        percent = round(100.0 * share, 1)
        if self._artifact is None:
            self._artifact = self._board.show(
                lambda: create_progress_artifact(percent, key=self._key, description=about)
            )
        else:
            artifact = self._artifact
            self._board.show(lambda: update_progress_artifact(artifact, progress=percent, description=about))


def _row(manifest: Manifest) -> dict[str, Any]:
    drops = ", ".join(f"{reason}: {count}" for reason, count in sorted(manifest.dropped.items())) or "none"
    return {"kind": manifest.kind, "rows": manifest.num_rows, "dropped": drops, "content id": manifest.content_id}


def _measured(summary: dict[str, Any]) -> dict[str, Any]:
    """Columns of a table, of what an edge says in its summary."""
    hours = summary.get("hours")
    cells = {"audio": "" if hours is None else spoken(3600 * hours), "seconds": summary.get("seconds", "")}
    if "cpu_seconds" in summary:
        cells["CPU seconds"] = summary["cpu_seconds"]
    if "peak_memory_bytes" in summary:
        cells["peak memory"] = f"{summary['peak_memory_bytes'] / 2**30:.1f} GiB"
    return cells
