"""Run a deployment from the command line and print its log as it comes: what `prefect deployment run NAME/local --watch` does, with the lines shown."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from uniaudio_schemas.errors import StoreError

from uniaudio_flows.settings import Settings, service_environment

POLL_S = 1.0
RETRY_S = 60
LOG_DELAY_S = 1.0
"""A run sends its last lines in a batch, after its last state."""
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
    """Run `name` (such as `everything/local`) to its end, printing the log of its run and of its subflows' runs. True if it completed."""
    os.environ.update(service_environment(settings))  # before prefect is imported: it reads its settings once
    return asyncio.run(_run(name, log, parameters or {}))


async def _run(name: str, log: Callable[[str], None], parameters: dict[str, Any]) -> bool:
    import httpx
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        deployment = await client.read_deployment_by_name(name)
        run = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        since: Any = datetime.now(UTC)
        seen = set[str]()
        lost_since: float | None = None
        while True:
            try:
                state = (await client.read_flow_run(run.id)).state
                await _print_new_lines(client, since, seen, log)
                lost_since = None
            except (httpx.HTTPError, OSError) as error:
                lost_since = _still_patient(lost_since, error)
            if lost_since is None and state is not None and state.is_final():
                await asyncio.sleep(LOG_DELAY_S)
                await _print_new_lines(client, since, seen, log)
                if not state.is_completed():
                    print(f"{name} ended as {state.name}: {_first_line(state.message)}", file=sys.stderr)
                return bool(state.is_completed())
            await asyncio.sleep(POLL_S)


def _still_patient(lost_since: float | None, error: Exception) -> float:
    """Since when the server is away. StoreError where that is too long ago."""
    lost_since = lost_since or time.monotonic()
    if time.monotonic() - lost_since > RETRY_S:
        raise StoreError(
            "the Prefect server does not answer any more; start it with `uniaudio up` and run this again: finished shards are kept."
        ) from error
    return lost_since


async def _print_new_lines(client: Any, since: Any, seen: set[str], log: Callable[[str], None]) -> None:
    from prefect.client.schemas.filters import LogFilter, LogFilterLevel, LogFilterTimestamp
    from prefect.client.schemas.sorting import LogSort

    window = LogFilter(timestamp=LogFilterTimestamp(after_=since), level=LogFilterLevel(ge_=20))
    for offset in range(0, 10_000, 200):
        entries = await client.read_logs(window, limit=200, offset=offset, sort=LogSort.TIMESTAMP_ASC)
        for entry in entries:
            if str(entry.id) not in seen:
                seen.add(str(entry.id))
                if entry.name == "prefect.flow_runs" and not entry.message.startswith(ROUTINE):
                    # Of an error the message: the traceback is in the flow run's log.
                    message = entry.message.partition("\nTraceback")[0]
                    log(f"{entry.timestamp.astimezone():%H:%M:%S} {message}")
        if len(entries) < 200:
            return


def _first_line(message: str | None) -> str:
    return (message or "no message").strip().splitlines()[0]
