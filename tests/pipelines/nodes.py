"""A Ray cluster of several nodes on this machine: each a `ray start` with an address of its own in 127.0.0.0/8, that can be killed."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
}
FIRST_NUMBER = 2
FIRST = f"127.0.0.{FIRST_NUMBER}"
"""Of the head: 127.0.0.1 would be replaced by the machine's outward address."""
START_TIMEOUT_S = 200
AGAIN = 'log=$1; shift; for attempt in 1 2 3 4; do "$@"; ! grep -q "Ray runtime started" "$log" || exit; done'
"""Ray gives a node 30 s to start, which a busy machine exceeds."""


class Node:
    def __init__(self, number: int, arguments: list[str], logs: Path, prefix: tuple[str, ...] = ()) -> None:
        self.address = f"127.0.0.{number}"
        ray = str(Path(sys.executable).with_name("ray"))
        command = [ray, "start", "--block", f"--node-ip-address={self.address}", "--disable-usage-stats", *arguments]
        command += ["--object-store-memory=80000000"]
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)}
        path = logs / f"{self.address}.log"
        with path.open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", AGAIN, "sh", str(path), *prefix, *command],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def processes(self) -> list[psutil.Process]:
        """Parents before their children."""
        for _ in range(10):  # a child may end while they are listed
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(self.process.pid)
                return [process, *process.children(recursive=True)]
        return []

    def kill(self) -> None:
        """The whole machine, at once."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def has_raylet(self) -> bool:
        return bool(self._raylets())

    def kill_raylet(self) -> None:
        """What else runs on the machine goes on."""
        assert self.has_raylet(), f"{self.address} has no raylet yet"
        self._raylets()[0].kill()

    def _raylets(self) -> list[psutil.Process]:
        return [process for process in self.processes() if process.name() == "raylet"]


class Nodes:
    def __init__(self, logs: Path, dashboard_port: int | None = None) -> None:
        self._logs, self._port = logs, _free_port()
        self._all: list[Node] = []
        self._temporary = tempfile.TemporaryDirectory(prefix="nodes-")  # short: sockets lie below it
        self.address = f"{FIRST}:{self._port}"
        arguments = ["--head", f"--port={self._port}", "--num-cpus=0"]
        if dashboard_port is None:
            arguments += ["--include-dashboard=false"]
        else:
            arguments += [f"--dashboard-port={dashboard_port}", f"--dashboard-agent-listen-port={_free_port()}"]
        self._all.append(Node(FIRST_NUMBER, [*arguments, f"--temp-dir={self._temporary.name}"], logs))

    def add(self, num_cpus: int = 1, prefix: tuple[str, ...] = ()) -> Node:
        """`prefix`: a command that runs `ray start`, such as `unshare`."""
        arguments = [f"--address={self.address}", f"--num-cpus={num_cpus}"]
        self._all.append(Node(FIRST_NUMBER + len(self._all), arguments, self._logs, prefix))
        return self._all[-1]

    def stop(self) -> None:
        for node in reversed(self._all):
            node.kill()
        self._temporary.cleanup()

    def await_head(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"Ray runtime started" not in (self._logs / f"{FIRST}.log").read_bytes():
            assert time.monotonic() < deadline, "no head"
            assert self._all[0].process.poll() is None, (self._logs / f"{FIRST}.log").read_text()
            time.sleep(0.2)


@contextmanager
def nodes(logs: Path, dashboard_port: int | None = None) -> Iterator[Nodes]:
    """A head without processors; whatever was added ends with it. It takes jobs where it has a port for its dashboard."""
    running = Nodes(logs, dashboard_port)
    try:
        running.await_head()
        yield running
    finally:
        running.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
