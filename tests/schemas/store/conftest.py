"""An object store for these tests: in this process' memory, or a server on loopback that speaks S3, Azure or Google."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from uniaudio_schemas.store import Store

from tests.clouds import CLOUDS, Cloud, missing
from tests.s3 import Proxy


@pytest.fixture
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIAUDIO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "store"


@pytest.fixture
def memory(private_cache: Path) -> Store:
    return Store(f"memory://{secrets.token_hex(8)}/store")


@pytest.fixture(scope="session", params=["s3", "az", "gs"])
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    if reason := missing(request.param):
        pytest.skip(reason)
    with CLOUDS[request.param]() as made:
        yield made


@pytest.fixture
def proxy(cloud: Cloud, private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """In front of the cloud's server, which it gets from the environment."""
    made = Proxy(cloud.port)
    for name, value in cloud.environment(made.port).items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture
def remote(cloud: Cloud, proxy: Proxy) -> Store:
    return Store(cloud.a_uri())
