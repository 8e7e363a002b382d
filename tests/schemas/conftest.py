import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.testing import a_plan, example_rows

Publish = Callable[..., Manifest]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def publish(store: Store) -> Publish:
    """Publish three example rows a unit of a plan."""

    def run(plan: Plan | None = None, *, ref: str = "latest", into: Store = store) -> Manifest:
        plan = plan or a_plan(units=("queen-00000", "queen-00001"))
        with into.writer(plan, owner="test", ref=ref) as writer:
            for index, unit in enumerate(plan.units):
                writer.put_shard(unit, example_rows(plan.kind, 3, first=3 * index))
            return writer.publish()

    return run


@pytest.fixture
def memory_folder(tmp_path: Path) -> Iterator[Path]:
    """fsync costs nothing there."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)
