"""Run a deployment from the command line and print its log as it comes: what `prefect deployment run NAME/local --watch` does, with the lines shown."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta
from typing import Any

from uniaudio_schemas.errors import StoreError, UsageError

from uniaudio_flows.settings import Settings, service_environment

POLL_S = 1.0
RETRY_S = 60
LOG_DELAY_S = 1.0
"""A run sends its last lines in a batch, after its last state."""
OVERLAP_S = 5.0
PAGE = 200
ROUTINE = (
    "Beginning",
    "Finished",
    "View at",
    "Created",
    "Running ",
    "Executing deployment",
    "Deployment step",
    "All deployment",
)
"""How lines begin that Prefect writes for every run."""


def run_deployment(
    name: str, settings: Settings, log: Callable[[str], None], parameters: dict[str, Any] | None = None
) -> bool:
    """Run `name` (such as `everything/local`) to its end, printing its log. The run is told the settings of this process, whatever those of the
    worker are; `parameters` count more. True if it completed."""
    os.environ.update(service_environment(settings))  # before prefect is imported: it reads its settings once
    return asyncio.run(_run(name, settings, log, parameters or {}))


async def _run(name: str, settings: Settings, log: Callable[[str], None], parameters: dict[str, Any]) -> bool:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(name)
            schema = deployment.parameter_openapi_schema or {}
            run_parameters = {**told_by(settings, schema.get("properties", {})), **parameters}
            run = await client.create_flow_run_from_deployment(deployment.id, parameters=run_parameters)
        except ObjectNotFound as error:
            raise UsageError(f"the flows are not deployed ({name} is not there): run `uniaudio up`.") from error
        except httpx.HTTPStatusError as error:
            raise UsageError(f"Prefect refuses the run: {error.response.text}") from error
        except httpx.HTTPError as error:
            raise UsageError(f"no Prefect server answers ({error}): start it with `uniaudio up`.") from error
        lines = _Lines(client, run.id, log)
        lost_since: float | None = None
        waits = False
        while True:
            try:
                state = (await client.read_flow_run(run.id)).state
                if state is not None and state.name == "AwaitingConcurrencySlot" and not waits:
                    waits = True
                    log(f"{name} runs already, once at a time: waiting for that run to end (see it in Prefect)")
                await lines.print_new()
                lost_since = None
            except (httpx.HTTPError, OSError) as error:
                lost_since = _still_patient(lost_since, error)
            if lost_since is None and state is not None and state.is_final():
                await asyncio.sleep(LOG_DELAY_S)
                await lines.print_new()
                if not state.is_completed():
                    print(f"{name} ended as {state.name}: {_first_line(state.message)}", file=sys.stderr)
                return bool(state.is_completed())
            await asyncio.sleep(POLL_S)


def told_by(settings: Settings, parameters: Container[str]) -> dict[str, Any]:
    """The parameters of a flow (those that it has are `parameters`) by which a run has `settings`."""
    values = {
        "store": settings.store,
        "source": str(settings.source),
        "models": str(settings.models),
        "device": settings.device,
        "size": settings.size,
        "start": settings.codec if "phases" in parameters else settings.backbone,
        "train_codec": {"start": settings.codec} if settings.codec else None,
    }
    return {name: value for name, value in values.items() if value and name in parameters}


def _still_patient(lost_since: float | None, error: Exception) -> float:
    """Since when the server is away. StoreError where that is too long ago."""
    lost_since = lost_since or time.monotonic()
    if time.monotonic() - lost_since > RETRY_S:
        raise StoreError(
            "the Prefect server does not answer any more; start it with `uniaudio up` and run this again: finished shards are kept."
        ) from error
    return lost_since


class _Lines:
    """The log of a flow run, printed as it comes."""

    def __init__(self, client: Any, run_id: Any, log: Callable[[str], None]) -> None:
        self._client, self._log = client, log
        self._run_id = run_id
        self._since = datetime.now(UTC)
        self._seen: dict[str, datetime] = {}

    async def print_new(self) -> None:
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, LogFilterLevel, LogFilterTimestamp
        from prefect.client.schemas.sorting import LogSort

        # Lines of several processes arrive out of order, so a stretch is looked at again.
        after: Any = self._since - timedelta(seconds=OVERLAP_S)
        window = LogFilter(
            flow_run_id=LogFilterFlowRunId(any_=[self._run_id]),
            timestamp=LogFilterTimestamp(after_=after),
            level=LogFilterLevel(ge_=20),
        )
        offset, is_full = 0, True
        while is_full:
            entries = await self._client.read_logs(window, limit=PAGE, offset=offset, sort=LogSort.TIMESTAMP_ASC)
            offset, is_full = offset + PAGE, len(entries) == PAGE
            for entry in entries:
                self._print(entry)
        self._seen = {key: at for key, at in self._seen.items() if at >= self._since - timedelta(seconds=2 * OVERLAP_S)}

    def _print(self, entry: Any) -> None:
        key = str(entry.id)
        if key in self._seen:
            return
        self._seen[key] = entry.timestamp
        self._since = max(self._since, entry.timestamp)
        if entry.name in ("prefect.flow_runs", "prefect.task_runs") and not entry.message.startswith(ROUTINE):
            # Of an error the message: the traceback is in the flow run's log.
            message = entry.message.partition("\nTraceback")[0]
            self._log(f"{entry.timestamp.astimezone():%H:%M:%S} {message}")


def _first_line(message: str | None) -> str:
    return (message or "no message").strip().splitlines()[0]
