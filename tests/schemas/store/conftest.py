"""An object store for these tests: in this process' memory, or a server on loopback that speaks S3, Azure or Google."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from uniaudio_schemas.store import Store

from tests.clouds import Cloud, azurite, fake_gcs, missing
from tests.s3 import Proxy, a_server, a_uri, environment


@pytest.fixture
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIAUDIO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "store"


@pytest.fixture
def memory(private_cache: Path) -> Store:
    return Store(f"memory://{secrets.token_hex(8)}/store")


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    with a_server() as port:
        yield port


@pytest.fixture
def proxy(s3_port: int, private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    made = Proxy(s3_port)
    for name, value in environment(made.port).items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture
def s3(proxy: Proxy) -> Store:
    return Store(a_uri())


@pytest.fixture(scope="session", params=["az", "gs"])
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    if reason := missing(request.param):
        pytest.skip(reason)
    with {"az": azurite, "gs": fake_gcs}[request.param]() as made:
        yield made


@pytest.fixture
def cloud_proxy(cloud: Cloud, private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    made = Proxy(cloud.port)
    for name, value in cloud.environment(made.port).items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture
def cloud_store(cloud: Cloud, cloud_proxy: Proxy) -> Store:
    return Store(cloud.a_uri())
