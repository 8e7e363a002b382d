"""Flow runs whose process is gone: `uniaudio down` in mid-run, a crash of the machine.

Prefect would count them as running, and their deployments, which run once at a time, would wait for them. They are marked as Crashed, as its worker does
with a process that dies while it looks on.
"""

import json
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import psutil

UNFINISHED = ("RUNNING", "PENDING", "CANCELLING")


def mark_orphans(api_url: str, headers: Mapping[str, str]) -> int:
    """Call it before a worker is started; `headers` hold the server's key. Returns how many runs were marked."""
    processes = dict(_flow_processes())
    runs = _ask(f"{api_url}/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": list(UNFINISHED)}}}}, headers)
    orphans = [run for run in runs if run["id"] not in processes]
    for run in orphans:
        state = {"type": "CRASHED", "name": "Crashed", "message": "its process was gone when the worker started"}
        _ask(f"{api_url}/flow_runs/{run['id']}/set_state", {"state": state}, headers)
    return len(orphans)


def _flow_processes() -> Iterator[tuple[str, psutil.Process]]:
    """Flow run id -> its process, of all that run on this machine."""
    for process in psutil.process_iter(["environ"]):
        run_id = (process.info["environ"] or {}).get("PREFECT__FLOW_RUN_ID")
        if run_id:
            yield str(run_id), process


def _ask(url: str, body: dict[str, Any], headers: Mapping[str, str]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
