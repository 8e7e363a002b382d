"""An edge that does nothing but count, and what goes wrong in it. A program, too, so that a test can kill it:

python tests/pipelines/counting.py --store ROOT --job '{"num_units": 8}' --run-id one
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from uniaudio_pipelines.running.edge import Hand, ShardResult, edge_main, job_to_json
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """Count to a number of units."""

    EDGE: ClassVar[str] = "counting"
    WRITES: ClassVar[str] = "raw"

    num_units: int = 3
    seconds_a_unit: float = 0.0
    dies_in: tuple[str, ...] = ()
    """Units whose first worker is killed."""
    always: bool = False
    """Kill every worker of these units."""
    kills: tuple[str, ...] = ()
    """Rows that end whoever works on them."""
    error: str = ""
    marks: str = ""
    """Folder where each piece of work leaves a file. A file `hold` in it holds all work up."""
    ref: str = "latest"

    def plan(self, store: Store) -> Plan:
        if self.num_units == 0:
            raise UsageError("`num_units` must be 1 or more,\nbut is 0.")
        units = [f"n-{number:05d}" for number in range(self.num_units)]
        parameters = {"num_units": self.num_units}
        return Plan(kind="raw", schema_version=2, parents={}, parameters=parameters, code_version="1", units=units)

    def resources(self) -> dict[str, float]:
        return {"num_cpus": 1.0}


def counted(row_id: str, unit: str) -> Raw:
    return Raw(clip_id=row_id, medium="text", corpus="n", path=unit, sha256="0", domain="text", licence="CC0-1.0")


def address() -> str:
    """Of the Ray node of this process; empty without Ray."""
    import ray

    return ray.util.get_node_ip_address() if ray.is_initialized() else ""


class CountWorker:
    hand = Hand()

    def __init__(self, store_root: str, job: Count, plan: Plan) -> None:
        self._job = job
        if job.error:
            raise UsageError(job.error)

    def process(self, unit: str) -> ShardResult:
        seen = len(list(Path(self._job.marks).glob(f"{unit}.*"))) if self._job.marks else 0
        if self._job.marks:
            (Path(self._job.marks) / f"{unit}.{os.getpid()}.{seen}").write_text(address())
        if unit in self._job.dies_in and (self._job.always or seen == 0):
            os.kill(os.getpid(), signal.SIGKILL)
        while self._job.marks and (Path(self._job.marks) / "hold").exists():
            time.sleep(0.05)
        time.sleep(self._job.seconds_a_unit)
        rows = []
        dropped = [Dropped(row_id=f"{unit}-2", reason="odd", detail="", unit=unit)]
        for row_id in (f"{unit}-0", f"{unit}-1"):
            if not self.hand.takes(row_id):
                dropped.append(self.hand.dropped(row_id, unit))
                continue
            if row_id in self._job.kills:
                os.kill(os.getpid(), signal.SIGKILL)
            rows.append(counted(row_id, unit))
        return ShardResult(rows=rows, dropped=dropped, statistics={"audio_s": 1800.0}, blobs=(unit.encode(),))


def start_program(
    store: Path, job: Count, stdout: int | IO[str] = subprocess.PIPE, **environment_too: str
) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--store", str(store), "--job", job_to_json(job), "--run-id", "one"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment_too}
    return subprocess.Popen(command, stdout=stdout, text=True, env=environment)


def wait_for_units(program: subprocess.Popen[str], count: int) -> None:
    assert program.stdout is not None
    for line in program.stdout:
        if line.startswith("PROGRESS ") and json.loads(line.removeprefix("PROGRESS "))["done"] >= count:
            return
    raise AssertionError(f"the program ended before {count} units were done")


if __name__ == "__main__":
    sys.exit(edge_main(Count, CountWorker))
