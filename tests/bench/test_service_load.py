"""Clients that ask a service all at once, one request after the other each.

    pytest -m bench -s tests/bench/test_service_load.py

`UNIAUDIO_BENCH_CLIENTS` (16), `UNIAUDIO_BENCH_SECONDS` (60). Half of them speak two seconds, half hear two.
"""

import asyncio
import os
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from uniaudio_pipelines.checkpoint_to_service.sound_formats import wav

from tests.pipelines.checkpoint_to_service.conftest import write_model
from tests.pipelines.checkpoint_to_service.server import served
from uniaudio.testing import a_waveform

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]
NUM_CLIENTS = int(os.environ.get("UNIAUDIO_BENCH_CLIENTS", "16"))
SECONDS = float(os.environ.get("UNIAUDIO_BENCH_SECONDS", "60"))
CLIP_S = 2.0


def test_clients_for_a_minute_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    took: list[float] = []
    statuses: list[int] = []
    audio_s: list[float] = []
    clip = wav(a_waveform(CLIP_S))

    async def one(client: httpx.AsyncClient, number: int, until: float) -> None:
        seed = number * 1000
        while time.monotonic() < until:
            seed, began = seed + 1, time.monotonic()
            if number % 2:
                form = {"text": f"word {seed}", "seed": str(seed), "max_seconds": str(CLIP_S)}
                response = await client.post("v1/tasks/tts", data=form, files={"none": b""})
            else:
                form = {"max_text": "32", "seed": str(seed)}
                response = await client.post("v1/tasks/asr", data=form, files={"audio": ("a.wav", clip)})
            statuses.append(response.status_code)
            took.append(time.monotonic() - began)
            if response.status_code == 200:
                audio_s.append(len(response.json()["tokens"]["reconstruction"]) / 12.5 if number % 2 else CLIP_S)

    async def run(url: str) -> float:
        limits = httpx.Limits(max_connections=NUM_CLIENTS)
        async with httpx.AsyncClient(base_url=url, timeout=280, limits=limits) as client:
            began = time.monotonic()
            await asyncio.gather(*(one(client, number, began + SECONDS) for number in range(NUM_CLIENTS)))
            return time.monotonic() - began

    with served(write_model(tmp_path / "tiny"), tmp_path, "num_rows=16") as server:
        elapsed_s = asyncio.run(run(server.url))
    with capsys.disabled():
        p50, p95 = np.percentile(took, [50, 95])
        print(
            f"\n{NUM_CLIENTS} clients, {elapsed_s:.0f} s: {len(took)} requests, {statuses.count(200)} answered, p50 {p50:.2f} s, "
            f"p95 {p95:.2f} s, {sum(audio_s) / elapsed_s:.2f} seconds of audio a second"
        )
    assert len(took) >= NUM_CLIENTS and set(statuses) == {200}
