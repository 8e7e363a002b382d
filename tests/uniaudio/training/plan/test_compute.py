"""Planned operations are those that torch counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from tests.uniaudio.training.plan.conftest import POSITIONS, a_batch, a_model, accumulate
from uniaudio.lm.config import LMConfig
from uniaudio.stages.table import stage_config
from uniaudio.training.lm import losses
from uniaudio.training.plan import compute
from uniaudio.training.plan.compute import Counts, chunked_again, flops_of
from uniaudio.training.plan.memory import RECOMPUTATIONS


def _heads_of(query: torch.Size, other: torch.Size) -> torch.Size:
    """Grouped keys and values serve all heads."""
    return torch.Size([*query[:2], *other[2:]])


def _forward(query, key, value, *_given, **_options) -> int:
    return sdpa_flop_count(query, _heads_of(query, key), _heads_of(query, value))


def _backward(gradient, query, key, value, *_given, **_options) -> int:
    return sdpa_backward_flop_count(gradient, query, _heads_of(query, key), _heads_of(query, value))


# Torch counts attention on a GPU only.
ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _forward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
}


def counted(config: LMConfig, stage: str, recomputation: str, *, audio: bool) -> int:
    """In bfloat16, whose products torch counts on a CPU too."""
    model = a_model(config, stage_config(stage).trains, recomputation)
    with FlopCounterMode(display=False, custom_mapping=ON_CPU) as counter:
        accumulate(model, a_batch(audio=audio, num_documents=1), "bfloat16")
    return counter.get_total_flops()


def planned_counts(*, audio: bool) -> Counts:
    text, frames = (0, POSITIONS) if audio else (POSITIONS, 0)
    return Counts(positions=POSITIONS, text_targets=text, audio_targets=frames, document=POSITIONS)


@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage3"])
@pytest.mark.parametrize("recomputation", RECOMPUTATIONS)
@pytest.mark.parametrize("audio", [False, True])
def test_a_pass_takes_the_operations_that_are_planned(
    config: LMConfig, stage: str, recomputation: str, audio: bool
) -> None:
    counts = planned_counts(audio=audio)
    planned = flops_of(config, stage_config(stage).trains, counts, recomputation=recomputation)
    assert sum(planned.values()) == counted(config, stage, recomputation, audio=audio)


@pytest.mark.parametrize("audio", [False, True])
def test_heads_in_chunks_multiply_again(config: LMConfig, audio: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (losses, compute):
        monkeypatch.setattr(module, "MAX_LOGITS", 32 * 2000)
    trains, counts = stage_config("stage3").trains, planned_counts(audio=audio)
    planned = sum(flops_of(config, trains, counts).values()) + chunked_again(config, trains, counts)
    assert planned == counted(config, "stage3", "none", audio=audio)
