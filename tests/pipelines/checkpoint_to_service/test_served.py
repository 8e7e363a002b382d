"""The service as it is started: Ray Serve, HTTP, a replica that is killed, clients that go away, a model that is replaced."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.pipelines.checkpoint_to_service.conftest import write_model
from tests.pipelines.checkpoint_to_service.server import Server, plain, served, tts_form

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(600), pytest.mark.xdist_group("services")]
NOTHING = {"none": b""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    settings = ("num_rows=4", "reload_s=0.5", "limits.waiting=2", "limits.answer_s=3600")
    with served(write_model(folder / "tiny"), folder, *settings) as made:
        yield made


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "did not come about"
        time.sleep(0.2)
    return value


async def ask(client: httpx.AsyncClient, seed: int, seconds: float = 0.8) -> httpx.Response:
    return await client.post("v1/tasks/tts", data=tts_form(seed, seconds), files=NOTHING)


def test_openais_client_speaks_and_hears(server: Server) -> None:
    client = openai.OpenAI(base_url=f"{server.url}v1", api_key="none")
    speech = {"model": "tiny", "voice": "default", "input": "hello", "extra_body": {"seed": 1, "max_seconds": 0.8}}
    with client.audio.speech.with_streaming_response.create(**speech, response_format="wav") as response:
        data = response.read()
    assert data.startswith(b"RIFF")
    said = client.audio.transcriptions.create(model="tiny", file=("a.wav", data))
    assert said.text == client.audio.transcriptions.create(model="tiny", file=("a.wav", data)).text
    assert [one.id for one in client.models.list()] == ["tiny"]


def test_a_killed_replica_comes_back_and_its_requests_are_answered(server: Server) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=280) as client:
            before = [plain((await ask(client, seed, 20)).json()) for seed in range(2)]
            asking = [asyncio.create_task(ask(client, seed, 20)) for seed in range(2)]
            while not server.get("v1/info")["writing"]:
                await asyncio.sleep(0.05)
            killed = await asyncio.to_thread(server.kill_replica)
            after = [await one for one in asking]
            assert [one.status_code for one in after] == [200, 200], [one.text[:300] for one in after]
            assert [plain(one.json()) for one in after] == before
            assert server.get("v1/info")["process"] != killed

    asyncio.run(run())


def test_a_client_that_goes_away_frees_its_row(server: Server) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=280) as client:
            asking = asyncio.create_task(ask(client, 1, 3000))
            while not server.get("v1/info")["writing"]:
                await asyncio.sleep(0.05)
            asking.cancel()
            speech = {"model": "tiny", "input": "hello", "response_format": "pcm", "max_seconds": 3000}
            async with client.stream("POST", "v1/audio/speech", json=speech) as response:
                assert response.status_code == 200
                await anext(response.aiter_bytes())

    asyncio.run(run())
    until(lambda: server.get("v1/info")["writing"] == 0, 60)


def test_one_request_too_many_is_told_to_come_again(server: Server) -> None:
    async def run() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(base_url=server.url, timeout=280, limits=limits) as client:
            asking = [asyncio.create_task(ask(client, seed, 20)) for seed in range(24)]
            return list(await asyncio.gather(*asking))

    answers = asyncio.run(run())
    statuses = sorted({one.status_code for one in answers})
    assert statuses == [200, 429]
    refused = next(one for one in answers if one.status_code == 429)
    assert refused.headers["retry-after"] and "are waiting already" in refused.json()["error"]["message"]


def test_another_model_is_taken_up_without_a_lost_request(server: Server, folder: Path) -> None:
    first = server.get("v1/info")["version"]
    write_model(folder / "next", seed=1)
    versions: list[int] = []

    async def run() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=280) as client:
            before = plain((await ask(client, 7)).json())
            for file in (folder / "next").rglob("*"):
                if file.is_file():
                    shutil.copyfile(file, folder / "tiny" / file.relative_to(folder / "next"))
            while server.get("v1/info")["version"] == first:
                versions.append((await ask(client, 7)).status_code)
            assert plain((await ask(client, 7)).json()) != before

    asyncio.run(run())
    assert set(versions) <= {200}
    (folder / "tiny" / "config.json").write_text("{")
    until(lambda: "cannot be read" in server.get("health")["reload_problem"])
    assert httpx.post(f"{server.url}v1/tasks/tts", data=tts_form(1), files=NOTHING, timeout=60).status_code == 200
    shutil.copyfile(folder / "next" / "config.json", folder / "tiny" / "config.json")
    until(lambda: not server.get("health")["reload_problem"])


def test_prometheus_reads_what_was_asked(server: Server) -> None:
    def told() -> bool:
        return any("uniaudio_service_requests_total" in httpx.get(url, timeout=30).text for url in server.metrics)

    assert server.metrics and all("127.0.0.1" in url for url in server.metrics)
    until(told)
