"""A run that is killed anywhere leaves the store as before or as after, and the next run ends as an undisturbed one."""

import importlib.util
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from tests.schemas.killing import killed_at

WORKER = Path(__file__).with_name("worker.py")
_spec = importlib.util.spec_from_file_location("crash_worker", WORKER)
assert _spec is not None and _spec.loader is not None
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)


def files(store: Store) -> dict[str, bytes]:
    """All but leases (which count takers) and locks."""
    paths = (path for path in store.root.rglob("*") if path.is_file() and "leases" not in path.parts)
    return {str(path.relative_to(store.root)): path.read_bytes() for path in paths if path.name != ".lock"}


def check_recovery(root: Path, expected: dict[str, bytes], manifest: Manifest, num_units: int) -> None:
    store = Store(root)
    found = store.head("tokens")
    assert found in (None, manifest)
    if found is not None:
        store.verify(found)
    assert worker.make(root, "next", num_units) == manifest
    rows = [row.clip_id for row in store.rows(manifest, Tokens)]
    assert len(rows) == len(set(rows)) == worker.ROWS * num_units
    store.collect(dry_run=False)
    assert files(store) == expected


def kill_at_every(stride: int, folder: Path) -> int:
    """Number of runs that were killed."""
    manifest = worker.make(folder / "whole", "undisturbed")
    expected = files(Store(folder / "whole"))
    step = 0
    while killed_at(step, partial(worker.make, folder / str(step), "killed")):
        check_recovery(folder / str(step), expected, manifest, 2)
        step += stride
    return step // stride


def test_a_kill_at_every_tenth_change_of_the_disk_loses_and_doubles_nothing(memory_folder: Path) -> None:
    assert kill_at_every(10, memory_folder) > 8


@pytest.mark.slow
def test_a_kill_at_any_change_of_the_disk_loses_and_doubles_nothing(memory_folder: Path) -> None:
    assert kill_at_every(1, memory_folder) > 70


def kill_at_random_moments(folder: Path, num_kills: int) -> None:
    manifest = worker.make(folder / "whole", "undisturbed", 12)
    expected = files(Store(folder / "whole"))
    moments = random.Random(0)
    longest_s = kill_after(folder / "timed", None)
    num_killed = 0
    # A run that was quicker than the timed one ends before its kill and does not count.
    for attempt in range(5 * num_kills):
        root = folder / str(attempt)
        num_killed += kill_after(root, moments.uniform(0, longest_s)) >= 0
        check_recovery(root, expected, manifest, 12)
        if num_killed == num_kills:
            return
    raise AssertionError(f"{num_killed} of {num_kills} runs were killed")


def test_kill_9_at_three_random_moments_loses_and_doubles_nothing(memory_folder: Path) -> None:
    kill_at_random_moments(memory_folder, 3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_9_at_two_dozen_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """On a disk."""
    kill_at_random_moments(tmp_path, 24)


def kill_after(root: Path, delay_s: float | None) -> float:
    """Start a run and kill it after `delay_s`; None lets it end. Seconds it ran, -1 if it ended before the kill."""
    process = subprocess.Popen([sys.executable, str(WORKER), str(root), "killed"], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    started = time.monotonic()
    if delay_s is not None:
        time.sleep(delay_s)
        process.kill()
    status = process.wait()
    assert status in (0, -signal.SIGKILL)
    return time.monotonic() - started if delay_s is None or status else -1.0
