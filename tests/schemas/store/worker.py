"""A process that makes one version: `python worker.py ROOT OWNER`. The crash tests kill it."""

import sys
from pathlib import Path

from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Manifest
from uniaudio_schemas.testing import a_plan, example_rows

ROWS = 3


def make(root: Path | str, owner: str, num_units: int = 2) -> Manifest:
    """Units with a blob, rows and a dropped row each."""
    plan = a_plan("tokens", units=tuple(f"queen-{index:05d}" for index in range(num_units)))
    with Store(root).writer(plan, owner=owner) as writer:
        for index, unit in enumerate(plan.units):
            if unit not in writer.done():
                blob = writer.put_blob(f"blob {index}".encode())
                rows = example_rows("tokens", ROWS, first=ROWS * index)
                writer.put_shard(unit, rows, [Dropped(row_id=unit, reason="too_short")], {"a": "b"}, {"x": 1.0}, [blob])
        return writer.publish()


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    make(sys.argv[1], sys.argv[2], num_units=12)
