"""`uniaudio serve` as its users start it, in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

START_S = 280


@dataclass
class Server:
    """A service that answers."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    metrics: list[str] = field(default_factory=list)

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", timeout=60).json()

    def kill_replica(self) -> int:
        """Ends the process that holds the model, as a machine that runs out of memory does; its id."""
        number = int(self.get("v1/info")["process"])
        assert number in {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}
        os.kill(number, signal.SIGKILL)
        return number


@contextmanager
def served(model: Path, folder: Path, *settings: str) -> Iterator[Server]:
    """A service of `model` at a free port of loopback; `settings` are of `--set`."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    log = folder / "serve.log"
    command = [sys.executable, "-m", "uniaudio", "serve", str(model), "--port", str(port)]
    command += [part for setting in settings for part in ("--set", setting)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "UNIAUDIO_"))}
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT, env=environment, cwd=folder)
    server = Server(f"http://127.0.0.1:{port}/", process, log)
    try:
        _await(server)
        server.metrics = [line.split()[-1] for line in log.read_text().splitlines() if line.startswith("metrics: ")]
        yield server
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        process.wait(120)
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive, f"processes are left: {alive}"


def _await(server: Server) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if server.process.poll() is not None:
            break
        if "(page)" in server.log.read_text():
            assert httpx.get(f"{server.url}health", timeout=60).status_code == 200
            return
        time.sleep(0.5)
    raise AssertionError(server.log.read_text()[-4000:])


def tts_form(seed: int, seconds: float = 0.8) -> dict[str, str]:
    """Fields of a request that speaks."""
    return {"text": f"word {seed}", "seed": str(seed), "max_seconds": str(seconds)}


def plain(answer: Any) -> str:
    """What must be equal of equal requests."""
    return json.dumps([answer["text"], answer["tokens"], answer["audio"]])
