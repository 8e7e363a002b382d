"""What workers of other nodes are told of the environment of a run."""

import pytest
from uniaudio_pipelines.cluster import environment_of_run


def test_workers_are_told_where_things_are_and_never_who_may_see_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAUDIO_MODELS", "/models")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    told = environment_of_run()
    assert (told["UNIAUDIO_MODELS"], told["AWS_ENDPOINT_URL"]) == ("/models", "http://minio:9000")
    assert "AWS_SECRET_ACCESS_KEY" not in told
    assert "PATH" not in told
