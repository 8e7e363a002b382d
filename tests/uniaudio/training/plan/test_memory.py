"""Planned memory is what small runs take, within a tenth: on one rank, by counting every tensor that is there."""

from dataclasses import replace

import pytest
import torch

from tests.uniaudio.training.live_bytes import LiveBytes
from tests.uniaudio.training.plan.conftest import POSITIONS, a_batch, a_model, accumulate
from uniaudio.lm.config import LMConfig
from uniaudio.stages.table import stage_config
from uniaudio.training.lm import losses
from uniaudio.training.plan import memory
from uniaudio.training.plan.memory import RECOMPUTATIONS, Memory, Pass, memory_of
from uniaudio.training.plan.work import config_of as config_of_size


def measured(config: LMConfig, stage: str, given: Pass) -> int:
    """Peak of the second of two micro-batches and the optimizer's step after it."""
    model = a_model(config, stage_config(stage).trains, given.recomputation)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned)
    batch = a_batch(audio=given.audio_targets > 0, num_documents=2)
    accumulate(model, batch, given.precision)
    optimizer.step()
    moments = [tensor for state in optimizer.state.values() for tensor in state.values()]
    gradients = [parameter.grad for parameter in learned if parameter.grad is not None]
    with LiveBytes([*model.parameters(), *gradients, *moments]) as live:
        accumulate(model, batch, given.precision)
        optimizer.step()
    return live.peak


def a_pass(*, audio: bool, **options) -> Pass:
    targets = {"text_targets": 0 if audio else POSITIONS, "audio_targets": POSITIONS if audio else 0}
    return Pass(positions=POSITIONS, **targets, **options)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage3"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("recomputation", RECOMPUTATIONS)
@pytest.mark.parametrize("audio", [False, True])
def test_a_step_takes_what_is_planned(
    config: LMConfig, stage: str, precision: str, recomputation: str, audio: bool
) -> None:
    given = a_pass(audio=audio, precision=precision, recomputation=recomputation)
    planned, found = memory_of(config, stage_config(stage).trains, given), measured(config, stage, given)
    assert planned.peak == pytest.approx(found, rel=0.1)
    # Nor only because weights and optimizer are most of it.
    assert planned.peak - planned.state == pytest.approx(found - planned.state, rel=0.2)


@pytest.mark.parametrize("recomputation", ["none", "blocks"])
def test_one_step_takes_what_is_planned(config: LMConfig, recomputation: str) -> None:
    """The fastest of the cases above, and the best known."""
    given = a_pass(audio=False, precision="float32", recomputation=recomputation)
    found = measured(config, "stage3", given)
    assert memory_of(config, stage_config("stage3").trains, given).peak == pytest.approx(found, rel=0.04)


@pytest.mark.parametrize("audio", [False, True])
def test_logits_in_chunks_are_planned_as_such(config: LMConfig, audio: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given = a_pass(audio=audio, precision="float32", recomputation="none")
    whole = measured(config, "stage3", given)
    for module in (losses, memory):
        monkeypatch.setattr(module, "MAX_LOGITS", 64 * 2000)
    found = measured(config, "stage3", given)
    assert found < 0.99 * whole
    assert memory_of(config, stage_config("stage3").trains, given).peak == pytest.approx(found, rel=0.1)


def planned(**options) -> Memory:
    given = Pass(positions=8192, text_targets=8192, audio_targets=0, **options)
    return memory_of(config_of_size("paper_3b"), stage_config("stage3", "paper_3b").trains, given)


def test_ranks_share_weights_gradients_and_moments() -> None:
    one, eight = planned(num_ranks=1), planned(num_ranks=8)
    assert one.state == 16 * 4_863_493_120
    assert eight.state == one.state // 8


def test_adding_up_micro_batches_keeps_gradients_whole() -> None:
    once, often = planned(num_ranks=8), planned(num_ranks=8, num_passes=2)
    assert often.whole == 4 * 4_863_493_120
    assert often.whole > 5 * once.whole


def test_what_is_repeated_is_not_kept() -> None:
    kept = [planned(recomputation=mode, num_ranks=8).peak for mode in RECOMPUTATIONS]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > 2 * kept[2]


def test_frozen_weights_have_neither_gradients_nor_moments() -> None:
    given = replace(Pass(positions=64, text_targets=64, audio_targets=0), num_ranks=1)
    held = memory_of(config_of_size("paper_3b"), ("audio_embedding",), given)
    assert held.gradients == 4 * 8 * 12_300 * 3072
    assert held.optimizer == 2 * held.gradients
