"""Checkpoints that are not whole, and folders that hold more than one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.checkpoint._hf_utils import CUSTOM_METADATA_KEY
from torch.optim import AdamW
from uniaudio_schemas.errors import DataError

from uniaudio.training.checkpoint import STATE_FILE, Checkpoint, TrainingState, load_checkpoint

SHARD = "shard-0000{}-model-00001-of-00001.safetensors"


class Trained:
    """A layer whose weights are `value`, after a step at rate 0."""

    def __init__(self, value: float) -> None:
        layer = nn.Linear(4, 6, bias=False)
        nn.init.constant_(layer.weight, value)
        self.weight, self.modules = layer.weight, nn.ModuleDict({"model": layer})
        self.optimizer = AdamW([layer.weight], lr=0.0)
        layer(torch.ones(1, 4)).sum().backward()
        self.optimizer.step()
        self.parameters = {"model.weight": layer.weight}

    def checkpoint(self) -> Checkpoint:
        return Checkpoint.of(
            self.modules, self.optimizer, self.parameters, TrainingState(identity="run", part="part"), {}
        )

    def save(self, folder: Path) -> None:
        self.checkpoint()(folder)

    def load(self, folder: Path) -> None:
        load_checkpoint(folder, self.modules, self.optimizer, self.parameters, "run", {})


def share_out(folder: Path) -> None:
    """The one file as three ranks would have written it, two rows of each matrix each."""
    whole = folder / SHARD.format(1)
    tensors = load_file(whole)
    with safe_open(whole, framework="pt") as file:
        metadata = file.metadata()
    for rank in range(3):
        mine = {name: one[2 * rank : 2 * rank + 2].clone() for name, one in tensors.items() if one.ndim}
        mine |= {name: one for name, one in tensors.items() if not one.ndim and not rank}
        offsets = {name: {"saved_offsets": [2 * rank, 0][: one.ndim]} for name, one in mine.items()}
        save_file(mine, folder / SHARD.format(rank + 1), {**metadata, CUSTOM_METADATA_KEY: json.dumps(offsets)})


def test_the_files_of_three_ranks_are_one_checkpoint(tmp_path: Path) -> None:
    Trained(4.0).save(tmp_path)
    share_out(tmp_path)
    other = Trained(-1.0)
    other.load(tmp_path)
    assert bool((other.weight == 4.0).all())


def test_a_checkpoint_without_the_file_of_a_rank_in_the_middle_is_refused(tmp_path: Path) -> None:
    Trained(4.0).save(tmp_path)
    share_out(tmp_path)
    (tmp_path / SHARD.format(2)).unlink()
    with pytest.raises(DataError, match=r"holds parts of modules\.model\.weight"):
        Trained(-1.0).load(tmp_path)


def test_a_file_of_another_checkpoint_among_the_others_is_refused(tmp_path: Path) -> None:
    Trained(4.0).save(tmp_path / "old")
    share_out(tmp_path / "old")
    Trained(2.0).save(tmp_path / "new")
    (tmp_path / "old" / SHARD.format(3)).rename(tmp_path / "new" / SHARD.format(3))
    with pytest.raises(DataError, match="whole and once"):
        Trained(-1.0).load(tmp_path / "new")


def test_saving_takes_what_more_ranks_left_in_the_folder_away(tmp_path: Path) -> None:
    Trained(4.0).save(tmp_path)
    share_out(tmp_path)
    Trained(2.0).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [SHARD.format(1), STATE_FILE]
    other = Trained(-1.0)
    other.load(tmp_path)
    assert bool((other.weight == 2.0).all())


def test_a_copy_is_what_was_there_when_it_was_made(tmp_path: Path) -> None:
    trained = Trained(4.0)
    copy = trained.checkpoint().copied()
    with torch.no_grad():
        trained.weight.fill_(2.0)
        for moment in trained.optimizer.state[trained.weight].values():
            moment.fill_(7.0)
    copy(tmp_path)
    other = Trained(-1.0)
    other.load(tmp_path)
    assert bool((other.weight == 4.0).all())
    moments = sorted(float(one.max()) for one in other.optimizer.state[other.weight].values())
    assert moments == pytest.approx([0.001, 0.1, 1.0])


def test_copies_of_a_run_share_their_memory() -> None:
    checkpoint = Trained(4.0).checkpoint()
    first = {name: one.data_ptr() for name, one in checkpoint.copied().tensors.items()}
    assert {name: one.data_ptr() for name, one in checkpoint.copied().tensors.items()} == first
    assert set(first.values()).isdisjoint(one.data_ptr() for one in checkpoint.tensors.values())
