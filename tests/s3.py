"""An S3 server for tests: moto in a process of its own, and in front of it a proxy that counts, delays and breaks requests.

    with a_server() as port:
        proxy = Proxy(port)          # then with `environment(proxy.port)` in the environment: Store(a_uri())

moto honours If-None-Match and If-Match of a PUT, but compares and writes in two steps; the proxy lets one PUT at a time through to
each object, so that no two can win. Both listen on loopback and check no credentials.
"""

import contextlib
import http.client
import os
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
BUCKET = "bucket"


@dataclass
class Fault:
    """What the proxy does to a request instead of passing it on (or after: `after`)."""

    status: int = 0
    delay_s: float = 0.0
    torn: bool = False
    """Half of the answer's bytes, with a length that says that this is all."""
    after: bool = False
    """The server does it, the answer is lost."""


@dataclass
class Proxy:
    """Faults are decided by `fault(method, path)`; `None` passes the request on."""

    backend: int
    latency_s: float = 0.0
    fault: Callable[[str, str], Fault | None] = lambda method, path: None
    counts: Counter[str] = field(default_factory=Counter)
    """Requests by method, `LIST` and `DELETE many` apart."""
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # A client that was killed, a server that has ended.
        self._server.handle_error = lambda request, client: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def num_requests(self) -> int:
        return sum(self.counts.values())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Proxy
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.backend = http.client.HTTPConnection("127.0.0.1", self.owner.backend)

    def finish(self) -> None:
        self.backend.close()
        super().finish()

    def pass_on(self) -> None:
        owner, parts = self.owner, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_list = parts.path.count("/") < 2 or parts.path.endswith(f"/{BUCKET}")
        name = ("DELETE many" if self.command == "POST" else "LIST") if is_list else self.command
        owner.counts[name] += 1
        owner.log.append(f"{name} {self.path}")
        fault = owner.fault(self.command, self.path) or Fault()
        time.sleep(owner.latency_s + fault.delay_s)
        if fault.status and not fault.after:
            self._answer(fault.status, {}, b"")
            return
        with owner._locks[parts.path] if self.command == "PUT" else contextlib.nullcontext():
            headers = {key: value for key, value in self.headers.items() if key.lower() != "connection"}
            self.backend.request(self.command, self.path, body, headers)
            answer = self.backend.getresponse()
            data = answer.read()
        kept = {
            key: value
            for key, value in answer.getheaders()
            if key.lower() not in ("connection", "transfer-encoding", "server", "date")
        }
        if fault.status:
            self._answer(fault.status, {}, b"")
        elif fault.torn:
            self._answer(answer.status, kept, data[: len(data) // 2])
        else:
            self._answer(answer.status, kept, data)

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        length = headers.pop("content-length", headers.pop("Content-Length", str(len(data))))
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def a_server() -> Iterator[int]:
    """The port of moto's server; it ends with this process."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdin is not None
    port = int(process.stdout.readline())
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("PUT", f"/{BUCKET}")
    assert connection.getresponse().status == 200
    connection.close()
    try:
        yield port
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def environment(port: int) -> dict[str, str]:
    return {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


def a_uri() -> str:
    return f"s3://{BUCKET}/{secrets.token_hex(6)}/store"


def _main() -> None:
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _main()
