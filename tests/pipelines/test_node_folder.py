"""What the workers of a machine share: made once, whoever is killed meanwhile."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from uniaudio_pipelines.running.node_folder import InUse, NodeFolder


def test_folders_that_nobody_uses_are_removed_and_those_in_use_stay(tmp_path: Path) -> None:
    used = InUse(tmp_path / "used")
    (tmp_path / "stale").mkdir()
    (tmp_path / "stale" / ".in-use").touch()
    (tmp_path / "of_others").mkdir()
    InUse(tmp_path / "mine")
    assert used is not None and (tmp_path / "used").exists() and (tmp_path / "of_others").exists()
    assert not (tmp_path / "stale").exists()


def _fill(folder: Path, counter: Path, seconds: float) -> None:
    with counter.open("a") as file:
        file.write("x")
    (folder / "half").write_text("1")
    time.sleep(seconds)
    (folder / "rest").write_text("2")


def _once(root: Path, counter: Path, seconds: float) -> None:
    NodeFolder(root / "mine").once("packs", lambda folder: _fill(folder, counter, seconds))


def test_of_several_processes_one_makes_it_and_the_others_wait(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_once, args=(tmp_path, tmp_path / "counter", 0.2)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "counter").read_text() == "x"
    assert sorted(path.name for path in (tmp_path / "mine/packs").iterdir()) == ["half", "rest"]


def test_what_a_killed_process_was_making_is_made_again_from_the_start(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=_once, args=(tmp_path, tmp_path / "counter", 60.0))
    worker.start()
    deadline = time.monotonic() + 10
    while not list(tmp_path.glob("mine/packs.making-*/half")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(10)
    assert not (tmp_path / "mine/packs").exists()
    _once(tmp_path, tmp_path / "counter", 0.0)
    assert (tmp_path / "counter").read_text() == "xx"
    assert [path.name for path in (tmp_path / "mine").glob("packs*")] != [] and not list(
        tmp_path.glob("mine/*.making-*")
    )


def test_what_fails_is_not_there_and_is_tried_again(tmp_path: Path) -> None:
    shared = NodeFolder(tmp_path / "mine")

    def fails(folder: Path) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        shared.once("packs", fails)
    assert not (tmp_path / "mine/packs").exists()
    assert shared.once("packs", lambda folder: (folder / "it").touch()) == tmp_path / "mine/packs"
