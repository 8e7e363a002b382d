"""Folders of workers: gone with their process, however that ended."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from uniaudio_pipelines.running.scratch import ScratchFolder

HOLDS_A_FOLDER = """
import sys, time
from uniaudio_pipelines.running.scratch import ScratchFolder
folder = ScratchFolder("raw")
open(folder.name + "/shard.tar", "w").write("1")
print(folder.name, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_what_a_killed_worker_left_is_removed_by_the_next_and_nothing_else(temporary: Path) -> None:
    bystander = temporary / "uniaudio-raw-notes"
    bystander.mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLDS_A_FOLDER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    assert left.parent == temporary
    with ScratchFolder("raw") as own:
        assert (left / "shard.tar").is_file(), "its worker lives"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with ScratchFolder("raw"):
            assert not left.exists()
            assert Path(own).is_dir()
    assert list(temporary.iterdir()) == [bystander]
