from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.query import scan
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.runs import log_run, read_runs, scan_runs
from uniaudio_schemas.testing import EXAMPLE_KINDS, NUM_SAMPLES, a_plan, a_run

RUN = a_run()


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLE_KINDS if kind != "dropped"])
def test_every_kind_can_be_scanned_with_polars(kind: str, store: Store, publish: Any) -> None:
    manifest = publish(a_plan(kind, units=("a", "b")))
    frame = scan(store, kind).collect()
    assert frame.shape == (6, store.read(manifest).num_columns)


def test_a_scan_answers_from_the_columns_it_needs(store: Store, publish: Any) -> None:
    publish(a_plan("tokens", units=("a", "b")))
    query = scan(store, "tokens").select(pl.col("num_samples").sum(), frames=pl.col("reasoning_codes").list.len().sum())
    assert query.collect().row(0) == (6 * NUM_SAMPLES, 24)


def test_a_scan_of_an_empty_version_has_its_columns(store: Store, publish: Any) -> None:
    manifest = publish(a_plan("tokens", units=()))
    assert scan(store, "tokens").collect_schema().names() == store.read(manifest).schema.names


def test_a_scan_of_nothing_says_so(store: Store) -> None:
    with pytest.raises(UsageError, match="`tokens` has no version behind `latest` yet"):
        scan(store, "tokens")


def test_the_runs_log_keeps_every_run_and_adds_hours_per_hour(store: Store) -> None:
    second = replace(RUN, started=RUN.started + 60, attempts=8)
    for row in (second, RUN, RUN):
        log_run(store, row)
    assert read_runs(store) == [RUN, second]
    frame = scan_runs(store).collect()
    assert frame["hours_per_hour"].to_list() == [12.0, 12.0] and frame["attempts"].to_list() == [7, 8]


def test_an_empty_runs_log_has_its_columns(store: Store) -> None:
    assert scan_runs(store).collect().shape == (0, 15)


def test_a_broken_row_of_the_runs_log_is_named(store: Store) -> None:
    log_run(store, RUN)
    path = next((store.root / "runs").iterdir())
    path.write_text("{")
    with pytest.raises(DataError, match=str(path)):
        read_runs(store)
