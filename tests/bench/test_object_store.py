"""What a store in an object store costs over a slow network, and what many versions cost.

The server is a small one of this file: it keeps objects in memory, answers after `LATENCY_S` and counts requests. A real client talks to
it over HTTP; nothing of the store is replaced.

    make bench
"""

import asyncio
import hashlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from uniaudio_schemas.kinds.migrations import newest
from uniaudio_schemas.store import Store, versions
from uniaudio_schemas.store.manifest import Manifest, Plan, ShardInfo
from uniaudio_schemas.testing import example_rows

from tests.s3 import ENVIRONMENT

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3_600)]
LATENCY_S = 0.03
NUM_UNITS = [int(value) for value in os.environ.get("UNIAUDIO_BENCH_UNITS", "1000,10000").split(",")]
NUM_PUTTERS = 32
"""Workers of a cluster put at the same time."""


class SlowServer:
    """PUT, GET, HEAD, LIST, DELETE and bulk DELETE of S3, each after `latency_s`; connections are kept."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s, self.counts = latency_s, Counter[str]()
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._names: list[str] | None = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        self._ready.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, target, _ = first.split()
                await asyncio.sleep(self.latency_s)
                status, extra, data = self._answer(method, target, headers, body)
                lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in extra.items())]
                if "content-length" not in extra:
                    lines.append(f"content-length: {len(data)}")
                writer.write("\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else data))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(target)
        key = unquote(parts.path).partition("/bucket")[2].lstrip("/")
        self.counts[method if key else {"GET": "LIST"}.get(method, "DELETE many")] += 1
        if not key:
            return self._of_bucket(method, parse_qs(parts.query, keep_blank_values=True), body)
        found = self._objects.get(key)
        if method == "PUT":
            if (headers.get("if-none-match") == "*" and found) or (
                "if-match" in headers and (not found or found[1] != headers["if-match"])
            ):
                return 412, {}, b""
            tag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
            self._names = None if key not in self._objects else self._names
            self._objects[key] = (body, tag)
            return 200, {"etag": tag}, b""
        if method == "DELETE":
            self._objects.pop(key, None)
            self._names = None
            return 204, {}, b""
        if found is None:
            return 404, {}, b""
        return (
            200,
            {"etag": found[1], "last-modified": formatdate(0, usegmt=True), "content-length": str(len(found[0]))},
            found[0],
        )

    def _of_bucket(self, method: str, query: dict[str, list[str]], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if method == "POST":
            keys = [part.partition("</Key>")[0] for part in body.decode().split("<Key>")[1:]]
            for key in keys:
                self._objects.pop(key, None)
            self._names = None
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            return 200, {}, f"<DeleteResult>{deleted}</DeleteResult>".encode()
        self._names = self._names or sorted(self._objects)
        prefix, after = query.get("prefix", [""])[0], query.get("continuation-token", [""])[0]
        names = [name for name in self._names if name.startswith(prefix) and name > after]
        rows = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{self._objects[name][1]}</ETag><Size>{len(self._objects[name][0])}</Size></Contents>"
            for name in names[:1000]
        )
        more = len(names) > 1000
        token = f"<NextContinuationToken>{names[999]}</NextContinuationToken>" if more else ""
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
        return 200, {}, text.encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SlowServer]:
    made = SlowServer(LATENCY_S)
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{made.port}"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UNIAUDIO_CACHE", str(tmp_path / "cache"))
    yield made


def a_plan(num_units: int) -> Plan:
    units = [f"u{index:06d}" for index in range(num_units)]
    return Plan(
        kind="tokens", schema_version=newest("tokens").version, parents={}, parameters={}, code_version="1", units=units
    )


def test_publishing_ten_thousand_units_over_a_slow_network(server: SlowServer) -> None:
    per_unit: dict[int, float] = {}
    for num_units in NUM_UNITS:
        store, plan = Store(f"s3://bucket/{num_units}"), a_plan(num_units)
        with store.writer(plan, owner="bench") as writer, ThreadPoolExecutor(NUM_PUTTERS) as pool:
            server.counts.clear()
            started = time.monotonic()
            numbered = enumerate(plan.units)
            list(pool.map(lambda one: writer.put_shard(one[1], [_row(one[0])]), numbered))
            put_s, put = time.monotonic() - started, dict(server.counts)
            server.counts.clear()
            started = time.monotonic()
            writer.publish()
            publish_s, publish = time.monotonic() - started, dict(server.counts)
        per_unit[num_units] = publish_s / num_units
        total = (sum(put.values()) + sum(publish.values())) / num_units
        print(
            f"{num_units} units over {1000 * LATENCY_S:.0f} ms: put in {put_s:.1f} s ({NUM_PUTTERS} at once) {put}, "
            f"published in {publish_s:.1f} s {publish}; {total:.2f} requests a shard"
        )
        assert total <= 4.1
    assert per_unit[NUM_UNITS[-1]] < 2 * per_unit[NUM_UNITS[0]]


def _row(index: int) -> Any:
    return replace(example_rows("tokens")[0], clip_id=hashlib.sha256(str(index).encode()).hexdigest()[:32])


def test_listing_two_hundred_versions_of_a_thousand_shards(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    folder = tmp_path / "store/tokens/versions"
    folder.mkdir(parents=True)
    for version in range(200):
        shards = [
            ShardInfo(
                unit=f"u{index:06d}",
                sha256=hashlib.sha256(f"{version // 10} {index}".encode()).hexdigest(),
                num_rows=8192,
                num_bytes=1,
                statistics={"audio_s": 1.0},
            )
            for index in range(1000)
        ]
        plan_id = hashlib.sha256(str(version).encode()).hexdigest()[:32]
        manifest = Manifest(
            kind="tokens",
            schema_version=1,
            plan_id=plan_id,
            content_id=plan_id,
            parents={},
            parameters={},
            code_version="1",
            numerics="",
            shards=shards,
        )
        (folder / f"{plan_id}.json").write_text(manifest.to_json())
    plain = timed(lambda: [json.loads(path.read_bytes()) for path in folder.iterdir()])
    found = timed(lambda: store.version_with("tokens", plan_id))
    first = timed(lambda: store.versions("tokens"))
    again = timed(lambda: store.versions("tokens"))
    print(
        f"200 versions of 1,000 shards: JSON alone {plain:.2f} s, one found by its contents {found:.2f} s, all listed {first:.2f} s, "
        f"again {again:.4f} s, {versions._num_shards} shards kept"
    )
    assert again < first / 20 and found < first


def timed(work: Callable[[], object]) -> float:
    """CPU-seconds."""
    started = time.process_time()
    work()
    return time.process_time() - started
