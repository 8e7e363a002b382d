"""Putting a model into service: what is wrong is one sentence, and nothing stays behind."""

from typing import Any

import pytest
from ray import serve
from uniaudio_pipelines.checkpoint_to_service import service as module
from uniaudio_pipelines.checkpoint_to_service.settings import Service
from uniaudio_schemas.errors import UsageError

application = module.application
FAILURE = """Deploying application uniaudio failed: The deployment failed to start 3 times in a row. Error:
ray::ServeReplica:uniaudio:Model.initialize_and_get_metadata() (pid=1)
  File "replica.py", line 1, in __init__
uniaudio_schemas.errors.UsageError: `--model` must be the folder of a model, but nowhere is not.
"""


@pytest.fixture
def deleted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Applications that were taken out of service, of a Ray that only says so."""
    names: list[str] = []
    monkeypatch.setattr(module, "connect", lambda: None)
    monkeypatch.setattr(module, "disconnect", lambda: None)
    monkeypatch.setattr(module, "application", lambda service: None)
    monkeypatch.setattr(serve, "start", lambda **_: None)
    monkeypatch.setattr(serve, "run", lambda *_, **__: None)
    monkeypatch.setattr(serve, "delete", names.append)
    return names


def test_a_model_that_cannot_be_loaded_is_told_in_one_sentence(
    deleted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise RuntimeError(FAILURE)

    monkeypatch.setattr(serve, "run", run)
    sentence = r"^nowhere cannot be put into service: `--model` must be the folder of a model, but nowhere is not\.$"
    with pytest.raises(UsageError, match=sentence), module.serving(Service(model="nowhere")):
        pass
    assert deleted == ["uniaudio"]


def test_an_address_of_ipv6_stands_in_brackets(deleted: list[str]) -> None:
    with module.serving(Service(model="tiny", host="::1")) as url:
        assert url == "http://[::1]:8000/"
    assert deleted == ["uniaudio"]


def test_stopping_waits_for_answers_longer_than_ray_does(deleted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def delete(name: str) -> None:
        deleted.append(name)
        if len(deleted) < 3:
            raise TimeoutError("weren't deleted after 60s")

    monkeypatch.setattr(serve, "delete", delete)
    with module.serving(Service(model="tiny")):
        pass
    assert deleted == ["uniaudio"] * 3


def test_the_gateway_ends_no_sooner_than_the_answers_that_it_hands_on() -> None:
    gateway = application(Service(model="tiny"))._bound_deployment
    assert gateway._deployment_config.graceful_shutdown_timeout_s == Service(model="tiny").limits.request_s
