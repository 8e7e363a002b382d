"""A model is replaced while it answers, and nobody waits for an engine that has ended."""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from uniaudio_pipelines.checkpoint_to_service import replica as module
from uniaudio_pipelines.checkpoint_to_service.asked import Asked, Reply
from uniaudio_pipelines.checkpoint_to_service.engine import Engine
from uniaudio_pipelines.checkpoint_to_service.replica import Replica
from uniaudio_pipelines.checkpoint_to_service.settings import Service

from uniaudio.run.request import Request

PATIENCE_S = 100


def until(condition: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "did not come about"
        time.sleep(0.05)


def test_a_request_whose_inputs_are_read_while_the_model_is_replaced_is_answered_by_the_old_one(
    service: Service, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = replica._loaded
    threads = set(threading.enumerate())
    query_of = module.query_of

    def query_while_replaced(model: Any, *given: Any) -> Any:
        if replica._loaded is old:
            os.utime(Path(service.model) / "config.json")
            until(lambda: replica._loaded is not old)
            # Many looks of whoever waits for the old engine to be idle.
            time.sleep(2)
        assert model is old.model
        return query_of(model, *given)

    monkeypatch.setattr(module, "query_of", query_while_replaced)
    asked = Asked(task="tts", text="hello", seed=1, max_seconds=0.2)
    reply = asyncio.run(asyncio.wait_for(replica.ask(asked), PATIENCE_S))
    assert isinstance(reply, Reply) and reply.reconstruction
    until(lambda: not old.engine._thread.is_alive())
    assert replica._loaded.engine._thread not in threads


def test_an_engine_that_has_ended_says_so(replica: Replica) -> None:
    model = replica._loaded.model
    engine = Engine(model.parts.model, model.parts.vocabulary, num_rows=2)
    engine.close()
    query = model.query("tts", Request(text="hello"))
    with pytest.raises(RuntimeError, match="has ended"):
        asyncio.run(asyncio.wait_for(engine.answer(query), PATIENCE_S))


def test_a_problem_is_over_when_the_model_that_is_served_lies_there_again(service: Service, replica: Replica) -> None:
    config, kept = Path(service.model) / "config.json", Path(service.model) / "config.json.kept"
    config.rename(kept)
    until(lambda: replica._problem)
    told = asyncio.run(replica.info())["reload_problem"]
    assert "cannot be read" in told and str(Path(service.model).parent) not in told
    kept.rename(config)
    until(lambda: not replica._problem)
