"""What all tests share: none waits for the disk, and none fails because the machine is busy."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Hypothesis measures seconds, and says of a slow machine that a test is flaky.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

real_fsync = os.fsync


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """`fsync` only asks whether the file is open. What it is for is a power cut, which no test makes; what is called in which order
    `schemas/store/test_store.py` looks at. Processes that tests start wait as ever, and so do benchmarks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield
