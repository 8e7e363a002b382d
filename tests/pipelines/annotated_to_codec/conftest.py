"""What tests of the edge `annotated_to_codec` share."""

from pathlib import Path

import pytest
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan


@pytest.fixture
def annotated_store(tmp_path: Path) -> Store:
    """A store with an empty `annotated`: what a plan needs, and all that taking a codec reads."""
    store = Store(tmp_path / "store")
    for kind, parents in (("raw", {}), ("annotated", {"raw": "r"})):
        plan = Plan(
            kind=kind, schema_version=newest(kind).version, parents=parents, parameters={}, code_version="1", units=[]
        )
        with store.writer(plan, owner="test") as writer:
            writer.publish()
    return store
