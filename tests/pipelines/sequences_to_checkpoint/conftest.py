from collections.abc import Callable
from pathlib import Path

import pytest
from uniaudio_schemas.kinds.sequences import train_statistics
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from tests.uniaudio.lm.conftest import parity_folder
from uniaudio.testing import tiny_sequences
from uniaudio.training.lm.doubles import tiny_vocabulary

__all__ = ["parity_folder"]


def put_sequences(root: Path, *, num_shards: int = 2, without: str = "", codec: str = "codec") -> Manifest:
    """A store at `root` with one version of synthetic sequences, none of the mixture group `without`."""
    store, vocabulary = Store(root), tiny_vocabulary()
    rows = [row for row in tiny_sequences() if row.mixture != without]
    units = [f"synthetic-{number:05d}" for number in range(num_shards)]
    plan = Plan(
        kind="sequences", schema_version=1, parents={"codec": codec}, parameters={}, code_version="test", units=units
    )
    metadata = {
        "vocabulary": vocabulary.to_json(),
        "vocabulary_fingerprint": vocabulary.fingerprint,
        "codec_fingerprint": "c" * 32,
    }
    with store.writer(plan, owner="test") as writer:
        for number, unit in enumerate(units):
            part = rows[number::num_shards]
            writer.put_shard(unit, part, metadata=metadata, statistics=train_statistics(part))
        return writer.publish()


@pytest.fixture
def store_with_sequences(tmp_path: Path) -> Callable[[str], Store]:
    """`make(name)`: a fresh store below the test's folder, with the same sequences each time."""

    def make(name: str = "store") -> Store:
        put_sequences(tmp_path / name)
        return Store(tmp_path / name)

    return make
