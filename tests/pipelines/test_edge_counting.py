"""The edge runner on an edge that does nothing but count."""

import errno
import json
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.annotated_to_codec.job import AnnotatedToCodec
from uniaudio_pipelines.running.edge import ShardResult, edge_main, job_from_json, job_to_json, run_edge
from uniaudio_schemas.errors import StoreError, UsageError
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.runs import read_runs

from tests.pipelines import counting
from tests.pipelines.counting import Count, CountWorker, start_program, wait_for_units


def lines_with(text: str, word: str) -> list[Any]:
    return [json.loads(line.removeprefix(word)) for line in text.splitlines() if line.startswith(word)]


def test_a_run_publishes_every_unit_once_and_says_what_it_cost(tmp_path: Path, capsys: Any) -> None:
    store = Store(tmp_path)
    manifest = run_edge(store, Count(), CountWorker, num_workers=0)
    assert [shard.unit for shard in manifest.shards] == ["n-00000", "n-00001", "n-00002"]
    assert (manifest.num_rows, manifest.dropped) == (6, {"odd": 3})
    assert store.head("raw") == manifest
    out = capsys.readouterr().out
    assert "counting 2/3 shards, 4 rows, 1.0 h audio" in out
    assert lines_with(out, "PROGRESS ")[-1] == {"done": 3, "total": 3, "unit": "shards"}
    (summary,) = lines_with(out, "SUMMARY ")
    assert (summary["rows"], summary["hours"], summary["dropped"]) == (6, 1.5, {"odd": 3})
    assert summary["cpu_seconds"] > 0 < summary["peak_memory_bytes"]
    assert [(row.edge, row.rows) for row in read_runs(store)] == [("counting", 6)]


def test_a_version_that_is_there_is_not_made_again(tmp_path: Path, capsys: Any) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    store = Store(tmp_path / "store")
    first = run_edge(store, Count(marks=str(marks)), CountWorker, num_workers=0)
    again = run_edge(store, Count(marks=str(marks), ref="other"), CountWorker, num_workers=0)
    assert again == first == store.head("raw", "other")
    assert len(list(marks.iterdir())) == 3


def test_a_run_that_failed_continues_from_its_finished_units(tmp_path: Path) -> None:
    class FailsInTheLastUnit(CountWorker):
        def process(self, unit: str) -> ShardResult:
            if unit == "n-00002":
                raise ZeroDivisionError
            return super().process(unit)

    marks = tmp_path / "marks"
    marks.mkdir()
    store = Store(tmp_path / "store")
    with pytest.raises(ZeroDivisionError):
        run_edge(store, Count(), FailsInTheLastUnit, num_workers=0)
    assert store.head("raw") is None
    resumed = run_edge(store, Count(marks=str(marks)), CountWorker, num_workers=0)
    assert [path.name.split(".")[0] for path in marks.iterdir()] == ["n-00002"]
    undisturbed = run_edge(Store(tmp_path / "other"), Count(), CountWorker, num_workers=0)
    assert resumed.to_json() == undisturbed.to_json()


def test_what_a_worker_kept_to_go_on_from_goes_once_its_unit_is_staged(tmp_path: Path) -> None:
    class KeepsAFolder(CountWorker):
        def process(self, unit: str) -> ShardResult:
            folder = tmp_path / "train" / unit
            folder.mkdir(parents=True)
            (folder / "weights").write_bytes(b"1")
            return replace(super().process(unit), blobs=(folder / "weights",), scratch=folder)

    store = Store(tmp_path)
    manifest = run_edge(store, Count(), KeepsAFolder, num_workers=0)
    assert not list((tmp_path / "train").iterdir())
    assert store.open_blob(manifest.shards[0].blobs[0]).read_bytes() == b"1"


def test_an_error_of_the_user_is_one_line_and_exit_status_2(tmp_path: Path, capsys: Any) -> None:
    arguments = ["--store", str(tmp_path), "--job", '{"num_units": 0}']
    assert edge_main(Count, CountWorker, num_workers=0, arguments=arguments) == 2
    assert capsys.readouterr().out == "ERROR: `num_units` must be 1 or more, but is 0.\n"


def test_how_many_workers_share_the_work_is_told_to_an_edge_that_runs_itself(tmp_path: Path, capsys: Any) -> None:
    told: list[dict[str, Any]] = []
    arguments = ["--store", str(tmp_path)]
    for job_class, more in ((Count, ["--num-workers", "3"]), (Count, []), (AnnotatedToCodec, [])):
        edge_main(job_class, run=lambda store, job, owner, **more: told.append(more), arguments=[*arguments, *more])
    assert told == [{"num_workers": 3}, {"num_workers": None}, {}]
    assert edge_main(Count, CountWorker, arguments=[*arguments, "--num-workers", "-1"]) == 2
    assert capsys.readouterr().out == "ERROR: `num_workers` must be 0 or more, but is -1.\n"


@pytest.mark.parametrize(("room", "code"), [(errno.ENOSPC, 2), (errno.ENOENT, None)])
def test_a_full_disk_under_a_worker_is_one_line_and_a_lost_file_a_stack_trace(
    tmp_path: Path, capsys: Any, room: int, code: int | None
) -> None:
    class NoRoom(CountWorker):
        def process(self, unit: str) -> ShardResult:
            raise OSError(room, os.strerror(room))

    def run() -> int:
        return edge_main(Count, NoRoom, num_workers=0, arguments=["--store", str(tmp_path)])

    if code is None:
        with pytest.raises(FileNotFoundError):
            run()
        return
    assert run() == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"ERROR: {tempfile.gettempdir()}: no space left (No space left on device).")


def test_a_job_comes_back_from_its_json() -> None:
    job = Count(num_units=7, dies_in=("n-00001",), marks="é")
    assert job_from_json(Count, job_to_json(job)) == job
    assert job_from_json(Count, "{}") == Count()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be JSON"),
        ("[]", r"must be an object with the fields of Count, but is \[\]"),
        ('{"colour": 1}', "but has colour"),
    ],
)
def test_a_job_that_is_none_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        job_from_json(Count, text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_units": "3"}, '`num_units` must be a whole number, but is "3"'),
        ({"num_units": 3.5}, "`num_units` must be a whole number, but is 3.5"),
        ({"num_units": True}, "`num_units` must be a whole number, but is true"),
        ({"seconds_a_unit": "0.3"}, '`seconds_a_unit` must be a number, but is "0.3"'),
        ({"seconds_a_unit": None}, "`seconds_a_unit` must be a number, but is null"),
        ({"always": 1}, "`always` must be true or false, but is 1"),
        ({"error": 1}, "`error` must be a string, but is 1"),
        ({"dies_in": "n-00001"}, '`dies_in` must be a list, but is "n-00001"'),
        ({"dies_in": [1]}, "`dies_in[0]` must be a string, but is 1"),
    ],
)
def test_a_field_of_another_type_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        job_from_json(Count, json.dumps(fields))


def test_a_whole_number_is_a_number() -> None:
    assert job_from_json(Count, '{"seconds_a_unit": 1}') == Count(seconds_a_unit=1.0)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    from uniaudio_pipelines.running import cluster

    # Two processors by name: a worker of a test only sleeps.
    cluster.connect(num_cpus=2)
    yield
    cluster.disconnect()


def by_value(**changes: Any) -> tuple[Any, Any]:
    """Job and worker as classes that Ray sends as code: its workers cannot import a test module."""
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(counting)
    return Count(**changes), CountWorker


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.slow
@pytest.mark.services
def test_a_killed_worker_is_replaced_and_its_unit_is_there_once(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "marks").mkdir()
    job, worker = by_value(num_units=4, dies_in=("n-00001",), marks=str(tmp_path / "marks"))
    manifest = run_edge(Store(tmp_path / "store"), job, worker, num_workers=2)
    undisturbed = run_edge(Store(tmp_path / "other"), Count(num_units=4), CountWorker, num_workers=0)
    assert manifest.to_json() == undisturbed.to_json()
    assert "lost the worker of n-00001" in capsys.readouterr().out


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.slow
@pytest.mark.services
def test_a_row_that_kills_its_workers_is_dropped_by_name_and_the_rest_is_there(tmp_path: Path, capsys: Any) -> None:
    job, worker = by_value(num_units=3, kills=("n-00001-1", "n-00002-0"))
    store = Store(tmp_path)
    manifest = run_edge(store, job, worker, num_workers=2)
    assert (manifest.num_rows, manifest.dropped) == (4, {"odd": 3, "kills_its_worker": 2})
    dropped = store.dropped(manifest).to_pylist()
    assert [row["row_id"] for row in dropped if row["reason"] == "kills_its_worker"] == ["n-00001-1", "n-00002-0"]
    assert "n-00001-1 was in hand of 3 lost workers" in capsys.readouterr().out


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.slow
@pytest.mark.services
def test_a_unit_that_kills_every_worker_is_named(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    job, worker = by_value(dies_in=("n-00001",), always=True, marks=str(tmp_path / "marks"))
    with pytest.raises(StoreError, match="Unit n-00001 ended its worker 3 times"):
        run_edge(Store(tmp_path / "store"), job, worker, num_workers=1)


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.slow
@pytest.mark.services
def test_an_error_of_a_worker_reaches_the_driver_as_itself(tmp_path: Path) -> None:
    job, worker = by_value(error="`models` must be there.")
    with pytest.raises(UsageError, match="`models` must be there"):
        run_edge(Store(tmp_path / "store"), job, worker, num_workers=1)


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_driver_that_starts_again_does_only_what_is_missing(tmp_path: Path, how: signal.Signals) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    job = Count(num_units=8, seconds_a_unit=0.3, marks=str(marks))
    first = start_program(tmp_path / "store", job)
    wait_for_units(first, 2)
    first.send_signal(how)
    rest, _ = first.communicate()
    assert first.returncode == (128 + how if how == signal.SIGTERM else -how)
    assert ("STOPPED counting" in rest) == (how == signal.SIGTERM)
    second = start_program(tmp_path / "store", job)
    out, _ = second.communicate()
    assert second.returncode == 0
    continued = re.search(r"continues: (\d)/8 shards", out)
    assert continued is not None
    assert int(continued[1]) >= 2
    # Units in the hands of the two workers when the driver died may have been begun twice; no others.
    assert len(list(marks.iterdir())) <= 8 + 2
    undisturbed = run_edge(Store(tmp_path / "other"), Count(num_units=8), CountWorker, num_workers=0)
    found = Store(tmp_path / "store").head("raw")
    assert found is not None
    assert found.to_json() == undisturbed.to_json()
