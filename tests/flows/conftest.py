"""Real services of a folder of its own: a Prefect server, a worker and a Ray head on free ports of loopback."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uniaudio_flows.access import Access

UNIAUDIO = [sys.executable, "-m", "uniaudio"]


class Services:
    """The environment of a running set of services."""

    def __init__(self, data: Path) -> None:
        self.data = data
        ports = {f"UNIAUDIO_{name}_PORT": str(free_port()) for name in ("PREFECT", "RAY", "DASHBOARD")}
        # What whoever starts the tests has set for a source or a codec of their own is not for these services.
        around = {name: value for name, value in os.environ.items() if not name.startswith("UNIAUDIO_")}
        self.environment = {**around, **ports, "UNIAUDIO_DATA": str(data)}
        self.environment["PREFECT_API_URL"] = f"http://127.0.0.1:{ports['UNIAUDIO_PREFECT_PORT']}/api"
        self.environment["PREFECT_HOME"] = str(data / "services" / "prefect")
        self.access = Access(folder=data / "services")
        self.dashboard = f"http://127.0.0.1:{ports['UNIAUDIO_DASHBOARD_PORT']}"

    def uniaudio(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run([*UNIAUDIO, *arguments])

    def prefect(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run([str(Path(sys.executable).with_name("prefect")), *arguments])

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """An answer of the Prefect server; with a body it is asked by POST."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.access.headers()}
        request = urllib.request.Request(f"{self.environment['PREFECT_API_URL']}/{path}", data, headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def jobs(self) -> list[dict[str, Any]]:
        """Those of the Ray head."""
        found: list[dict[str, Any]] = json.loads(self.at_dashboard("/api/jobs/"))
        return found

    @property
    def with_token(self) -> dict[str, str]:
        """Headers of a request to Ray's dashboard."""
        return {"Authorization": f"Bearer {self.access.ray_token.read_text()}"}

    def at_dashboard(self, path: str) -> str:
        with urllib.request.urlopen(
            urllib.request.Request(self.dashboard + path, headers=self.with_token), timeout=20
        ) as answer:
            return str(answer.read().decode())

    def await_(self, condition: Callable[[], Any], timeout_s: float) -> Any:
        """What the condition gives once it holds; an unreachable service does not hold."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if found := condition():
                    return found
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"not within {timeout_s} s")

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment, cwd=self.data, capture_output=True, text=True, check=False, timeout=1500
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    import soundfile

    data = tmp_path_factory.mktemp("data")
    corpus = data / "source" / "bells"
    corpus.mkdir(parents=True)
    lines = []
    for number in range(12):
        time = np.arange(16_000) / 16_000
        soundfile.write(corpus / f"{number}.wav", 0.3 * np.sin(2 * np.pi * (200 + 40 * number) * time), 16_000)
        lines.append(
            f'{{"path": "{number}.wav", "domain": "sound", "given_title": "bell {number}", "licence": "CC0-1.0"}}'
        )
    (corpus / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    (data / "source" / ".limits.json").write_text('{"annotators": ["loudness", "source_caption"]}')
    running = Services(data)
    started = running.uniaudio("up")
    try:
        assert started.returncode == 0, started.stderr
        yield running
    finally:
        running.uniaudio("down")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a small filesystem")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
