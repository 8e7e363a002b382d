"""What is measured waits for the disk."""

import os

import pytest

from tests.conftest import real_fsync


@pytest.fixture(autouse=True)
def waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", real_fsync)
