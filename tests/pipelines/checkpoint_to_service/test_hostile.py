"""Requests that mean harm or are careless get one sentence: no file of the service is read, and no memory is spent beyond the limits."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from uniaudio_pipelines.checkpoint_to_service.asked import TooLargeError
from uniaudio_pipelines.checkpoint_to_service.errors import RefusalError
from uniaudio_pipelines.checkpoint_to_service.gateway import app_before
from uniaudio_pipelines.checkpoint_to_service.replica import Replica
from uniaudio_pipelines.checkpoint_to_service.settings import Service
from uniaudio_pipelines.checkpoint_to_service.sound_formats import wav
from uniaudio_pipelines.checkpoint_to_service.uploads import read_upload

from tests.pipelines.checkpoint_to_service.local import URL, client_of
from uniaudio.testing import a_waveform

PATIENCE_S = 60
SPEECH = {"model": "tiny", "input": "hello"}
USER = {"role": "user", "content": "hello"}


def post(service: Service, replica: Replica, path: str, **given: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        async with client_of(service, replica) as client:
            return await asyncio.wait_for(client.post(path, **given), PATIENCE_S)

    return asyncio.run(run())


def told(response: httpx.Response, status: int = 400) -> str:
    """The sentence of a refusal."""
    assert response.status_code == status, response.text[:500]
    sentence: str = response.json()["error"]["message"]
    assert len(sentence) < 2_000 and "Traceback" not in sentence
    return sentence


def shown(service: Service, replica: Replica, task: str, examples: str, clip: bytes) -> httpx.Response:
    """The answer to a task of which solved examples are shown."""
    files = [("audio", ("a.wav", clip)), ("example_audio", ("0.wav", clip))]
    return post(service, replica, f"/v1/tasks/{task}", data={"examples": examples, "max_text": "4"}, files=files)


def test_an_example_holds_clips_where_the_task_has_clips_and_never_a_path_of_the_service(
    service: Service, replica: Replica, clip: bytes, tmp_path: Path
) -> None:
    (tmp_path / "private.wav").write_bytes(clip)
    for part in ({"text": str(tmp_path / "private.wav")}, {"text": "/nowhere/private.wav"}):
        sentence = told(shown(service, replica, "audio_caption", json.dumps([[part, {"text": "dog"}]]), clip))
        assert "part 1 is a text" in sentence and "private" not in sentence
    files_alone = json.dumps([[{"file": 0}, {"file": 0}]])
    assert "part 2 is a file" in told(shown(service, replica, "audio_caption", files_alone, clip))


@pytest.mark.parametrize(
    "examples",
    ["[" * 100_000, '[[{"file": 0}, {"text": "\\ud800"}]]', '[[{"file": 0}, {"text": null}]]', '{"a": 1}'],
    ids=["deep", "half a character", "null", "object"],
)
def test_examples_that_are_none_are_refused(service: Service, replica: Replica, clip: bytes, examples: str) -> None:
    assert told(shown(service, replica, "audio_caption", examples, clip))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "must be JSON"),
        (b"[" * 10_000, ""),
        (json.dumps({**SPEECH, "voice": "x" * 50_000}).encode(), "`voice` must be one of"),
    ],
    ids=["cut", "deep", "long name"],
)
def test_bodies_that_are_no_speech_are_refused(service: Service, replica: Replica, body: bytes, sentence: str) -> None:
    kind = {"Content-Type": "application/json"}
    assert sentence in told(post(service, replica, "/v1/audio/speech", content=body, headers=kind))


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ('{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "é"}}]}', "must be base64"),
        ('{"role": "assistant", "audio": {"transcript": "\\ud800"}}', "whole characters"),
        ('{"role": "assistant", "audio": {"transcript": null}}', "transcript"),
        (json.dumps({"role": "user", "content": [{"type": "text", "text": "a"}] * 100}), "`messages.0.content"),
    ],
    ids=["no ASCII", "half a character", "null", "parts"],
)
def test_messages_that_are_none_are_refused(service: Service, replica: Replica, message: str, sentence: str) -> None:
    body = f'{{"model": "tiny", "messages": [{message}, {json.dumps(USER)}]}}'
    kind = {"Content-Type": "application/json"}
    assert sentence in told(post(service, replica, "/v1/chat/completions", content=body.encode(), headers=kind))


def test_a_clip_named_often_counts_as_what_encoding_makes_of_it(service: Service, replica: Replica) -> None:
    examples = json.dumps([[{"file": 0}, {"file": 0}]] * 6)
    assert "4 seconds at most" in told(
        shown(service, replica, "speech_denoise", examples, wav(a_waveform(0.01))), status=413
    )


def test_silence_of_many_channels_is_too_large() -> None:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.zeros((3 * 192_000, 8), np.int16), 192_000, format="FLAC")
    assert len(file.getvalue()) < 100_000
    with pytest.raises(TooLargeError, match="all channels together"):
        read_upload(file.getvalue(), "silence.flac", most_s=4)


class Holding:
    """A backend that answers nothing until `flows` is set."""

    def __init__(self) -> None:
        self.flows = asyncio.Event()

    async def call(self, method: str, *_: Any) -> Any:
        await self.flows.wait()
        raise RefusalError(503, "Nothing is answered here.")


def client_before(backend: Holding, service: Service) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app_before(backend, service))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url=URL, timeout=None)


def test_one_request_too_many_is_refused_before_its_body_is_read() -> None:
    service = Service(model="tiny", num_rows=2)
    service = replace(service, limits=replace(service.limits, waiting=1))
    num_read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal num_read
        num_read += 1
        yield json.dumps(SPEECH).encode()

    async def run() -> None:
        backend = Holding()
        async with client_before(backend, service) as client:

            def ask() -> Any:
                return client.post("/v1/audio/speech", content=body(), headers={"Content-Type": "application/json"})

            asking = [asyncio.create_task(ask()) for _ in range(3)]
            while num_read < 3:
                await asyncio.sleep(0.01)
            refused = await asyncio.wait_for(ask(), PATIENCE_S)
            assert "1 requests are waiting already" in told(refused, 429) and refused.headers["retry-after"]
            assert num_read == 3
            backend.flows.set()
            assert [one.status_code for one in await asyncio.gather(*asking)] == [503] * 3
            assert (await ask()).status_code == 503

    asyncio.run(run())


def test_bodies_of_many_requests_are_bounded_together() -> None:
    service = Service(model="tiny", num_rows=2)
    sent = json.dumps(SPEECH).encode()
    limits = replace(service.limits, upload_bytes=len(sent) + 1, held_bytes=2 * len(sent) + 10)
    service = replace(service, limits=limits)

    async def run() -> None:
        backend = Holding()
        async with client_before(backend, service) as client:

            def ask() -> Any:
                return client.post("/v1/audio/speech", content=sent, headers={"Content-Type": "application/json"})

            asking = [asyncio.create_task(ask()) for _ in range(2)]
            while not all(task.done() for task in asking):
                refused = await asyncio.wait_for(ask(), PATIENCE_S)
                if refused.status_code == 429:
                    break
                await asyncio.sleep(0.01)
            assert "hold more than" in told(refused, 429)
            backend.flows.set()
            assert [one.status_code for one in await asyncio.gather(*asking)] == [503] * 2
            # What the first ones held is free again.
            assert (await ask()).status_code == 503

    asyncio.run(run())


def test_a_body_that_does_not_arrive_in_time_is_given_up() -> None:
    service = Service(model="tiny")
    service = replace(service, limits=replace(service.limits, request_s=0.2))

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async def run() -> httpx.Response:
        async with client_before(Holding(), service) as client:
            kind = {"Content-Type": "application/json"}
            return await asyncio.wait_for(client.post("/v1/audio/speech", content=body(), headers=kind), PATIENCE_S)

    assert "0.2 seconds" in told(asyncio.run(run()), 408)


def test_refusals_of_the_guard_bear_the_headers_of_the_page_too(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    service = Service(model="tiny", key_file=str(tmp_path / "key"))

    async def run() -> httpx.Response:
        async with client_before(Holding(), service) as client:
            return await client.get("/v1/tasks")

    assert asyncio.run(run()).headers["x-content-type-options"] == "nosniff"
