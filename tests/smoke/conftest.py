"""A store on an S3 server of its own, in the environment of everything that a test starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3 import Proxy, a_server, a_uri, environment


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its address."""
    with a_server() as port:
        for name, value in environment(Proxy(port).port).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("UNIAUDIO_CACHE", str(tmp_path / "cache"))
        yield a_uri()
