"""What a stage tells of its speed."""

import time

import pytest
import torch

from uniaudio.sequence.layout import grid_of
from uniaudio.stages.config import ALL_MODULES
from uniaudio.training.lm.data import Batch, collate
from uniaudio.training.lm.doubles import tiny_lm, tiny_sequences
from uniaudio.training.lm.speed import Speed
from uniaudio.training.plan.compute import Counts, flops_of


def test_positions_padding_and_operations_are_those_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    grids = [grid_of(row) for row in tiny_sequences() if row.task == "text_only"][:3]
    num_positions = sum(len(grid.ids) for grid in grids)
    batch = collate([grids[:2], grids[2:]], 2 * num_positions)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    speed = Speed(tiny_lm().config, ALL_MODULES, "float32", torch.device("cpu"))
    speed.count([batch, Batch.padding()])
    monkeypatch.setattr(time, "monotonic", lambda: 102.0)
    told = speed.gauges(world_size=3)
    assert told["tokens_per_second"] == 3 * num_positions / 2
    assert told["padding_share"] == pytest.approx(1 - num_positions / (4 * num_positions + 2))
    # Each document's first position is no target.
    counts = Counts(
        positions=num_positions, text_targets=num_positions - 3, audio_targets=0, document=num_positions / 3
    )
    expected = sum(flops_of(tiny_lm().config, ALL_MODULES, counts).values())
    assert told["teraflops_per_rank"] == pytest.approx(expected / 2e12)
    assert "mfu" not in told
