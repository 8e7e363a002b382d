"""A step of preference tuning takes what is planned: the model's own pass, and beside it a frozen reference's."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.uniaudio.training.live_bytes import LiveBytes
from tests.uniaudio.training.plan.conftest import POSITIONS, a_batch, a_model
from tests.uniaudio.training.plan.test_compute import ON_CPU
from uniaudio.lm.config import LMConfig
from uniaudio.stages.config import ALL_MODULES
from uniaudio.training.lm.preference import PairModel, PreferenceObjective, preference_loss_sum
from uniaudio.training.plan.compute import Counts, flops_of
from uniaudio.training.plan.memory import Pass, memory_of


def an_objective(config: LMConfig, precision: str, recomputation: str = "none") -> PreferenceObjective:
    """All of it that a pass asks for."""
    model = a_model(config, ALL_MODULES, recomputation)
    found = object.__new__(PreferenceObjective)
    found.root, found.reference = PairModel(model), PairModel(deepcopy(model).requires_grad_(False))
    found.stage, found.device = SimpleNamespace(precision=precision), torch.device("cpu")
    return found


def accumulate(objective: PreferenceObjective, *, audio: bool) -> None:
    pairs = objective._pairs(a_batch(audio=audio, num_documents=2), has_audio=True)
    preference_loss_sum(pairs, 0.1).backward()


@pytest.mark.parametrize("audio", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_pass_takes_the_operations_that_are_planned(config: LMConfig, audio: bool) -> None:
    text, frames = (0, POSITIONS) if audio else (POSITIONS, 0)
    counts = Counts(positions=POSITIONS, text_targets=text, audio_targets=frames, document=POSITIONS / 2)
    planned = sum(flops_of(config, ALL_MODULES, counts).values()) + sum(flops_of(config, (), counts).values())
    objective = an_objective(config, "bfloat16")
    with FlopCounterMode(display=False, custom_mapping=ON_CPU) as counter:
        accumulate(objective, audio=audio)
    # The target that crosses the pair's border is none.
    assert planned == pytest.approx(counter.get_total_flops(), rel=0.005)


def measured(config: LMConfig, precision: str, recomputation: str, *, audio: bool) -> int:
    """Peak of the second of two micro-batches and the optimizer's step after it."""
    objective = an_objective(config, precision, recomputation)
    learned = [*objective.root.parameters()]
    optimizer = torch.optim.AdamW(learned)
    accumulate(objective, audio=audio)
    optimizer.step()
    moments = [tensor for state in optimizer.state.values() for tensor in state.values()]
    gradients = [parameter.grad for parameter in learned]
    with LiveBytes([*learned, *objective.reference.parameters(), *gradients, *moments]) as live:
        accumulate(objective, audio=audio)
        optimizer.step()
    return live.peak


@pytest.mark.slow
@pytest.mark.parametrize("audio", [False, True])
@pytest.mark.parametrize(("precision", "recomputation"), [("float32", "none"), ("bfloat16", "blocks")])
def test_a_step_takes_the_memory_that_is_planned(
    config: LMConfig, precision: str, recomputation: str, audio: bool
) -> None:
    text, frames = (0, POSITIONS) if audio else (POSITIONS, 0)
    given = Pass(
        positions=POSITIONS, text_targets=text, audio_targets=frames, precision=precision, recomputation=recomputation
    )
    planned = memory_of(config, ALL_MODULES, given, has_reference=True)
    found = measured(config, precision, recomputation, audio=audio)
    assert planned.peak == pytest.approx(found, rel=0.1)
    held = sum(parameter.nbytes for parameter in a_model(config, (), "none").parameters())
    assert planned.reference == held > 0.05 * found
