"""What Ray says of a worker, in this project's terms; and what workers of other nodes are told of a run."""

import stat
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.running import cluster
from uniaudio_pipelines.running.pool import WorkerLostError
from uniaudio_schemas.errors import StoreError, UsageError

ray = pytest.importorskip("ray")


def raising(error: BaseException) -> Any:
    def get(reference: Any) -> Any:
        raise error

    return get


def lost(monkeypatch: pytest.MonkeyPatch, error: Exception) -> bool:
    """Whether the worker was lost with its node."""
    monkeypatch.setattr(ray, "get", raising(error))
    with pytest.raises(WorkerLostError) as found:
        cluster.result(None)
    assert "\n" not in str(found.value)
    return found.value.with_node


def test_a_lost_process_is_told_from_a_lost_node(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.exceptions import (
        ActorDiedError,
        ActorUnavailableError,
        NodeDiedError,
        OutOfMemoryError,
        WorkerCrashedError,
    )

    assert not lost(monkeypatch, ActorDiedError())
    assert not lost(monkeypatch, WorkerCrashedError())
    assert not lost(monkeypatch, OutOfMemoryError("worker killed\nmemory"))
    assert lost(monkeypatch, NodeDiedError("gone"))
    assert lost(monkeypatch, ActorUnavailableError("socket closed", None))
    died = ActorDiedError()
    died.error_msg = "The actor died.\nThe actor is dead because its node has died."
    assert lost(monkeypatch, died)


def test_an_error_of_the_workers_own_is_raised_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.exceptions import RayTaskError

    error = RayTaskError("process", "Traceback", UsageError("`models` must be there."))
    monkeypatch.setattr(ray, "get", raising(error))
    with pytest.raises(UsageError, match="`models` must be there"):
        cluster.result(None)


def test_a_cluster_that_is_gone_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.exceptions import RaySystemError

    monkeypatch.setattr(ray, "get", raising(RaySystemError("the raylet\nended")))
    with pytest.raises(StoreError, match=r"^Ray does not answer any more \(.*the raylet\): run this again"):
        cluster.result(None)


def test_what_is_waited_for_is_said_with_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 1.0})
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "memory": 1.0})
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True}, {"Alive": True}, {"Alive": False}])
    workers = cluster.RayWorkers(object, {"num_cpus": 4.0, "num_gpus": 1.0})
    assert workers.shortage() == (
        "for a worker of 4 CPU, 1 GPU to start: the cluster has 1 of 8 CPU free, 0 of 0 GPU free on 2 nodes"
    )


def test_workers_are_told_where_things_are_and_never_who_may_see_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAUDIO_MODELS", "/models")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "ours")
    for secret in ("AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "GOOGLE_BEARER_TOKEN"):
        monkeypatch.setenv(secret, "hush")
    told = cluster.environment_of_run()
    assert (told["UNIAUDIO_MODELS"], told["AWS_ENDPOINT_URL"]) == ("/models", "http://minio:9000")
    assert told["AZURE_STORAGE_ACCOUNT_NAME"] == "ours" and "hush" not in told.values()
    assert "PATH" not in told


@pytest.mark.parametrize(
    ("environment", "joins"),
    [
        ({}, False),
        ({"RAY_ADDRESS": "http://head:8265"}, False),
        ({"RAY_ADDRESS": "head:6379"}, True),
        ({"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}, True),
    ],
)
def test_a_job_or_an_address_joins_and_anything_else_is_private(
    environment: dict[str, str], joins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cluster.is_private() is not joins


@pytest.mark.parametrize(
    ("of_nodes", "num_workers", "most"),
    [
        ([1, 1], 1, 1),
        ([8], 2, 4),
        ([8, 2], 1, 8),
        ([8, 2], 2, 4),
        ([8, 8], 2, 8),
        ([2, 0], 4, 1),
        ([0], 1, 1),
        ([], 1, 1),
    ],
)
def test_a_worker_reserves_what_one_node_has(
    monkeypatch: pytest.MonkeyPatch, of_nodes: list[int], num_workers: int, most: int
) -> None:
    dead = {"Alive": False, "Resources": {"CPU": 64.0}}
    nodes = [{"Alive": True, "Resources": {"CPU": float(cpus)} if cpus else {}} for cpus in of_nodes]
    monkeypatch.setattr(ray, "nodes", lambda: [dead, *nodes])
    assert cluster.most_cpus(num_workers=num_workers) == most


def test_the_folder_of_a_private_cluster_is_for_its_user_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(cluster, "_folder", None)
    # As Ray does with the folders that it is given.
    monkeypatch.setattr(ray, "init", lambda **options: Path(options["_temp_dir"]).chmod(0o777))
    cluster._start_private(1)
    [folder] = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
