"""What a flow run shows in Prefect: a progress artifact while its job runs, a table of the result at its end.

A Prefect server that is away does not end the work: what could not be shown is left out, and the log says so once.
"""

import logging
from collections.abc import Callable
from typing import Any

import httpx
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from uniaudio_schemas.store.manifest import Manifest

Log = logging.Logger | logging.LoggerAdapter[Any]

MEASURED = ("hours", "seconds", "cpu_seconds", "peak_memory_bytes")


class Artifacts:
    """Those of one job."""

    def __init__(self, kind: str, log: Log) -> None:
        self.kind, self.log = kind, log
        self._progress: Any = None
        self._is_away = False

    def progress(self, share: float) -> None:
        """`share`: of the units, 0 to 1."""
        if self._progress is None:
            self._progress = self._show(
                lambda: create_progress_artifact(
                    progress=100.0 * share, key=f"{self.kind}-progress", description=f"making {self.kind}"
                )
            )
        else:
            self._show(lambda: update_progress_artifact(self._progress, progress=100.0 * share))

    def result(self, manifest: Manifest, summary: dict[str, Any], edge: str) -> None:
        """Rows, dropped rows by reason, and what it cost."""
        dropped = ", ".join(f"{reason}: {count}" for reason, count in sorted(manifest.dropped.items())) or "none"
        row = {
            "kind": manifest.kind,
            "rows": manifest.num_rows,
            "dropped": dropped,
            "content id": manifest.content_id,
            **{name: summary[name] for name in MEASURED if name in summary},
        }
        self._show(
            lambda: create_table_artifact(
                table=[row], key=f"{self.kind}-result", description=f"{edge}, {manifest.plan_id}"
            )
        )

    def _show(self, call: Callable[[], Any]) -> Any:
        try:
            shown = call()
        except httpx.HTTPError as error:
            if not self._is_away:
                self.log.warning("the Prefect server does not answer (%s): the job goes on unseen", error)
            self._is_away = True
            return None
        self._is_away = False
        return shown
