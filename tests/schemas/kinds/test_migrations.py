import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.kinds import migrations
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.kinds.earlier import AnnotatedV1, AnnotatedV2, CheckpointV1, CutV1, HeldOutLossV1, RawV1
from uniaudio_schemas.kinds.record import SCHEMAS, schema, schema_of
from uniaudio_schemas.query import scan
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan
from uniaudio_schemas.testing import example_rows

KIND = "test_song"


@pytest.fixture
def versions(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[Any], Manifest]]:
    """A kind at version 3, and a version of it that was written when 1 was the newest."""
    monkeypatch.setattr(migrations, "MIGRATIONS", {})
    before = dict(SCHEMAS)

    @schema(KIND, version=1, id_field="name")
    @dataclass(frozen=True, kw_only=True)
    class First:
        name: str
        seconds: float

    plan = Plan(kind=KIND, schema_version=1, parents={}, parameters={}, code_version="1", units=["a", "b"])
    with store.writer(plan, owner="test") as writer:
        writer.put_shard("a", [First(name="one", seconds=1.5)], metadata={"source": "old"})
        writer.put_shard("b", [First(name="two", seconds=2.0)], metadata={"source": "old"})
        manifest = writer.publish()

    @schema(KIND, version=2, id_field="name")
    @dataclass(frozen=True, kw_only=True)
    class Second:
        name: str
        num_samples: int

    @schema(KIND, version=3, id_field="name")
    @dataclass(frozen=True, kw_only=True)
    class Third:
        name: str
        num_samples: int
        language: str | None

    yield Third, manifest
    SCHEMAS.clear()
    SCHEMAS.update(before)


def register() -> None:
    @migrations.migration(KIND, from_version=1)
    def count_samples(table: pa.Table) -> pa.Table:
        samples = pa.array([int(value * 24_000) for value in table["seconds"].to_pylist()], pa.int64())
        return table.drop_columns(["seconds"]).append_column("num_samples", samples)

    @migrations.migration(KIND, from_version=2)
    def add_language(table: pa.Table) -> pa.Table:
        return table.append_column("language", pa.nulls(len(table), pa.string()))


def test_an_old_version_is_read_at_the_newest_one(versions: tuple[type[Any], Manifest], store: Store) -> None:
    row_class, manifest = versions
    register()
    expected = [
        row_class(name="one", num_samples=36_000, language=None),
        row_class(name="two", num_samples=48_000, language=None),
    ]
    assert list(store.rows(manifest, row_class)) == expected
    table = store.read(manifest, columns=["num_samples"])
    assert table["num_samples"].to_pylist() == [36_000, 48_000]
    metadata = store.read(manifest).schema.metadata
    assert metadata == {b"kind": KIND.encode(), b"schema_version": b"3", b"source": b"old"}
    assert scan(store, KIND).collect()["num_samples"].to_list() == [36_000, 48_000]
    store.verify(manifest)


def test_a_missing_step_is_named(versions: tuple[type[Any], Manifest], store: Store) -> None:
    with pytest.raises(DataError, match=r"\.arrow: test_song v1 has no migration to v2"):
        store.read(versions[1])


def test_a_migration_that_forgets_a_column_is_named(versions: tuple[type[Any], Manifest], store: Store) -> None:
    migrations.migration(KIND, from_version=1)(lambda table: table)
    migrations.migration(KIND, from_version=2)(lambda table: table)
    with pytest.raises(DataError, match=r"lacks \['num_samples', 'language'\], has too much \['seconds'\]"):
        store.read(versions[1])


def test_one_step_has_one_migration(versions: tuple[type[Any], Manifest]) -> None:
    register()
    with pytest.raises(UsageError, match="test_song v1 has a migration already"):
        register()


@pytest.mark.parametrize(
    ("kind", "earlier"), [("raw", RawV1), ("annotated", AnnotatedV1), ("annotated", AnnotatedV2), ("cuts", CutV1)]
)
def test_a_store_of_an_earlier_version_is_read_at_the_newest(kind: str, earlier: type[Any], store: Store) -> None:
    (newest,) = example_rows(kind)
    old = earlier(**{field.name: getattr(newest, field.name) for field in dataclasses.fields(earlier)})
    plan = Plan(
        kind=kind, schema_version=schema_of(earlier).version, parents={}, parameters={}, code_version="1", units=["a"]
    )
    with store.writer(plan, owner="test") as writer:
        writer.put_shard("a", [old])
        manifest = writer.publish()
    (row,) = store.rows(manifest, type(newest))
    assert {field.name: getattr(row, field.name) for field in dataclasses.fields(earlier)} == {
        field.name: getattr(old, field.name) for field in dataclasses.fields(earlier)
    }
    added = {field.name for field in dataclasses.fields(newest)} - {field.name for field in dataclasses.fields(earlier)}
    assert added
    assert not any(np.any(getattr(row, name)) for name in added)


def test_a_checkpoint_from_before_chance_was_told_is_read_without_it(store: Store) -> None:
    (newest,) = example_rows("checkpoint")
    loss = HeldOutLossV1(task="asr", before=5.6, after=2.9, num_sequences=12, low=2.5)
    columns = {field.name: getattr(newest, field.name) for field in dataclasses.fields(CheckpointV1)}
    plan = Plan(kind="checkpoint", schema_version=1, parents={}, parameters={}, code_version="1", units=["a"])
    with store.writer(plan, owner="test") as writer:
        weights = writer.put_blob(b"weights")
        writer.put_shard("a", [CheckpointV1(**{**columns, "held_out": [loss], "weights": weights})], blobs=[weights])
        manifest = writer.publish()
    (row,) = store.rows(manifest, Checkpoint)
    assert {**dataclasses.asdict(row), "held_out": []} == {
        **dataclasses.asdict(newest),
        "weights": weights,
        "held_out": [],
    }
    (migrated,) = row.held_out
    assert (migrated.before, migrated.after, migrated.num_sequences, migrated.low) == (5.6, 2.9, 12, 2.5)
    assert (migrated.uniform, migrated.unigram, migrated.chance, migrated.beside_chance) == (None, None, None, "")
    assert row.better_than_chance == (0, 0)


@pytest.mark.parametrize(("after", "beside"), [(3.3, "better"), (3.4, "equal"), (3.5, "worse")])
def test_a_held_out_loss_stands_beside_the_better_of_unigram_and_uniform(after: float, beside: str) -> None:
    (newest,) = example_rows("checkpoint")
    for uniform, unigram in ((5.6, 3.4), (3.4, 5.6)):
        loss = dataclasses.replace(newest.held_out[0], after=after, uniform=uniform, unigram=unigram)
        assert (loss.chance, loss.beside_chance) == (3.4, beside)
        row = dataclasses.replace(newest, held_out=[loss, newest.held_out[0]])
        assert row.better_than_chance == (1 + (beside == "better"), 2)
