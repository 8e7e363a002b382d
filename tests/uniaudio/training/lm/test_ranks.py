"""A stage on several ranks: the losses of one rank, its frozen parts at rest, its checkpoints for any number of ranks."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from uniaudio.training.lm.doubles import tiny_lm

RANK = Path(__file__).with_name("rank.py")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(folder: Path, world_size: int = 1, **options) -> dict[str, float]:
    """The points of a run on so many ranks."""
    folder.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world_size)}
    command = [sys.executable, str(RANK), str(folder), json.dumps(options)]
    ranks = [subprocess.Popen(command, env={**shared, "RANK": str(rank)}) for rank in range(world_size)]
    assert [rank.wait(250) for rank in ranks] == [0] * world_size
    return json.loads((folder / "points.json").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    folder = tmp_path_factory.mktemp("alone") / "run"
    return folder, run(folder)


def differences(left: dict[str, float], right: dict[str, float]) -> dict[str, float]:
    assert left.keys() <= right.keys() or right.keys() <= left.keys()
    losses = [name for name in {*left} & {*right} if "loss" in name or "after" in name]
    assert losses
    return {name: abs(left[name] - right[name]) for name in losses}


@pytest.mark.parametrize(("world_size", "shard_over"), [(2, 0), (4, 0), (4, 2), (2, 1)])
def test_ranks_have_the_losses_of_one(alone, world_size: int, shard_over: int, tmp_path: Path) -> None:
    points = run(tmp_path / "run", world_size, shard_over=shard_over)
    assert max(differences(alone[1], points).values()) < 1e-6
    whole = sum(tensor.nbytes for tensor in tiny_lm().state_dict().values())
    held = [int((tmp_path / "run" / f"bytes-{rank}").read_text()) for rank in range(world_size)]
    num_shards = shard_over or world_size
    assert max(held) < whole / num_shards * 1.1 if num_shards > 1 else max(held) == whole


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 4), (4, 2)])
def test_a_run_goes_on_with_another_number_of_ranks(alone, before: int, after: int, tmp_path: Path) -> None:
    run(tmp_path / "first", before)
    points = run(tmp_path / "second", after, resume_from=str(tmp_path / "first" / "2"))
    assert max(differences(alone[1], points).values()) < 1e-6


def test_frozen_modules_stay_bit_for_bit_on_two_ranks(tmp_path: Path) -> None:
    run(tmp_path / "run", 2, stage={"trains": ["audio_embedding", "understanding_expert"], "audio_weight": 0.0})
    before, after = tiny_lm().state_dict(), load_file(tmp_path / "run" / "final.safetensors")
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"audio_embedding", "understanding_expert"}


def test_bfloat16_on_two_ranks_learns_as_on_one(alone, tmp_path: Path) -> None:
    points = run(tmp_path / "run", 2, stage={"precision": "bfloat16"})
    assert 0 < max(differences(alone[1], points).values()) < 0.05


def test_passes_whose_last_is_of_text_alone_have_the_gradients_of_one_rank_where_only_what_hears_learns(
    tmp_path: Path,
) -> None:
    stage = {
        "trains": ["audio_embedding", "understanding_expert"],
        "mixture": [{"first_step": 0, "weights": [["asr", 0.15], ["text_only", 1.0]]}],
        "context": 48,
        "num_rows": 4,
        "micro_rows": 1,
    }
    alone, points = (run(tmp_path / str(size), size, stage=stage) for size in (1, 2))
    norms = [name for name in alone if name.startswith("gradient_norm")]
    assert max(abs(alone[name] - points[name]) for name in norms) < 1e-6
    assert max(differences(alone, points).values()) < 1e-6
