"""Codec training in processes of its own: killed ones go on, and two that share a batch end with one codec."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.training.codec.train import train_codec

WORKER = Path(__file__).with_name("worker.py")
pytestmark = pytest.mark.slow


@pytest.fixture
def clips_file(train_clips, tmp_path: Path) -> Path:
    path = tmp_path / "clips.npz"
    np.savez(path, **{f"clip {index}": clip.samples for index, clip in enumerate(train_clips[:9])})
    return path


def start(clips: Path, folder: Path, names: str, kill_at: int, **environment: str) -> subprocess.Popen[str]:
    folder.mkdir(parents=True)
    command = [sys.executable, str(WORKER), str(clips), str(folder), names, str(kill_at)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("names", ["encoders", "reasoning,grpo"])
def test_after_kill_9_the_run_goes_on_to_the_same_codec(names: str, clips_file: Path, tmp_path: Path) -> None:
    sys.path.insert(0, str(WORKER.parent))
    from worker import read_clips, worker_phases

    killed = start(clips_file, tmp_path / "killed", names, 3)
    assert killed.wait(120) == -signal.SIGKILL, killed.communicate()[1]
    phases, clips = worker_phases(names.split(",")), read_clips(clips_file)
    unbroken, resumed = (ReasoningCodec.create(CodecConfig.preset("debug")) for _ in range(2))
    expected = train_codec(unbroken, phases, clips[1:], clips[:1])
    folder = tmp_path / "killed" / f"{len(phases) - 1}-2"
    assert train_codec(resumed, phases, clips[1:], clips[:1], resume_from=folder) == expected
    assert resumed.fingerprint == unbroken.fingerprint


def test_two_workers_end_with_one_codec_statistics_of_the_encoders_included(clips_file: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    names = "encoders,reasoning,grpo,decoder"
    workers = [start(clips_file, tmp_path / str(rank), names, 0, RANK=str(rank), **shared) for rank in range(2)]
    outputs = [worker.communicate(timeout=200) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    assert outputs[0][0] and outputs[0][0] == outputs[1][0]
