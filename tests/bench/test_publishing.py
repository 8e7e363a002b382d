"""Memory and time of publishing a version, by its number of rows: units are staged beforehand, and only the driver's part is measured.

    UNIAUDIO_BENCH_ROWS=100000,1000000,10000000 pytest -m bench -s tests/bench/test_publishing.py

Each number of rows is a process of its own. Of its memory `anonymous` is what it must hold; pages of mapped files, which the kernel may
take away at any time, are told beside it. What a version names again (`reused`) is taken from kept hashes.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from uniaudio_schemas.fingerprint import hash_bytes
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store import Store, layout
from uniaudio_schemas.store.content import HASHES
from uniaudio_schemas.store.manifest import Manifest, Plan, ShardInfo
from uniaudio_schemas.store.units import Unit, unit_bytes

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3_600)]
ROWS = [int(text) for text in os.environ.get("UNIAUDIO_BENCH_ROWS", "100000,1000000").split(",")]
ROWS_A_SHARD = 8_192
KIND = "tokens"


def hashes_of(unit: int, num_units: int, num_rows: int) -> pa.Table:
    """Ids of a unit lie among those of all others, as those of hashed clips do."""
    ids = [hashlib.md5(b"%d" % number).hexdigest() for number in range(unit, num_rows, num_units)]
    made = np.random.default_rng(unit).bytes(32 * len(ids))
    hashes = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(ids), [None, pa.py_buffer(made)])
    return pa.table([pa.array(sorted(ids)), hashes], schema=HASHES)


def staged(store: Store, num_rows: int) -> Plan:
    """A plan whose units are all finished. Its shards are empty files: publishing asks only whether they are there."""
    num_units = -(-num_rows // ROWS_A_SHARD)
    plan = a_plan([f"u-{number:06d}" for number in range(num_units)])
    for number, unit in enumerate(plan.units):
        sha256 = hash_bytes(unit.encode())
        hashes = hashes_of(number, num_units, num_rows)
        shard = ShardInfo(unit=unit, sha256=sha256, num_rows=len(hashes), num_bytes=0)
        store.files.write(layout.shard_path(KIND, sha256), b"")
        store.files.write(layout.unit_path(plan, unit), unit_bytes(Unit(shard=shard, hashes=hashes, token=1)))
    return plan


def a_plan(units: list[str], reused: list[ShardInfo] | None = None) -> Plan:
    return Plan(
        kind=KIND,
        schema_version=newest(KIND).version,
        parents={},
        parameters={"again": bool(reused)},
        code_version="bench",
        units=units,
        reused=reused or [],
    )


def published(store: Store, plan: Plan) -> Manifest:
    with store.writer(plan, owner="bench") as writer:
        return writer.publish()


def memory_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def memory() -> dict[str, float]:
    return {"anonymous": memory_mib("RssAnon"), "mapped": memory_mib("RssFile")}


@contextmanager
def measured(before: dict[str, float], found: dict[str, float]) -> Iterator[None]:
    """The most that the process holds more than `before`, in MiB, asked every 10 ms, and the block's CPU-seconds."""
    most, ended = dict(before), threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            most.update({name: max(most[name], size) for name, size in memory().items()})

    watcher, started = threading.Thread(target=watch, daemon=True), time.process_time()
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        found |= {name: round(most[name] - before[name], 1) for name in most} | {"cpu_s": time.process_time() - started}


def measure(root: Path, num_rows: int) -> dict[str, object]:
    """In this process: a version of its own units, then one that names all of them again."""
    store, made, again = Store(root), dict[str, float](), dict[str, float]()
    plan = staged(store, num_rows)
    published(Store(root / "warm"), staged(Store(root / "warm"), 10))
    before = memory()
    with measured(before, made):
        first = published(store, plan)
    with measured(before, again):
        second = published(store, a_plan([], reused=first.shards))
    assert second.content_id == first.content_id
    return {
        "made": made,
        "again": again,
        "content_id": first.content_id,
        "manifest": hash_bytes(first.to_json().encode()),
    }


def test_memory_of_publishing_does_not_grow_with_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = {}
    for num_rows in ROWS:
        command = [sys.executable, __file__, str(tmp_path / str(num_rows)), str(num_rows)]
        told[num_rows] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        with capsys.disabled():
            print(f"\n{num_rows:>11,} rows: {told[num_rows]}")
    for run in ("made", "again"):
        anonymous = [told[num_rows][run]["anonymous"] for num_rows in ROWS]
        assert max(anonymous) <= 2 * min(anonymous) + 64


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
