"""The loop, of an objective of one number: which steps move it, which are skipped, when it goes back and when it stops."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import TrainingError

from uniaudio.stages.schedule import SKIP_WINDOW, Schedule
from uniaudio.training.checkpoint import TrainingState
from uniaudio.training.optim import ParameterGroup
from uniaudio.training.processes import _buckets, reproducible
from uniaudio.training.run import Listeners, train

NAN = float("nan")


class Number:
    """Its losses are given, one for each batch; a step that goes back takes the next."""

    is_sharded = False

    def __init__(self, losses: Sequence[float]) -> None:
        self.modules = nn.ModuleDict({"number": nn.Linear(1, 1, bias=False)})
        self.given, self.taken, self.positions = losses, 0, list[int]()

    def described(self) -> dict[str, Any]:
        return {}

    def groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(parameters=dict(self.modules.named_parameters()))]

    def losses(self, step: int) -> Iterator[Tensor]:
        self.positions.append(self.taken)
        weight = next(self.modules.parameters()).sum()
        self.loss = self.given[self.taken]
        self.taken += 1
        yield weight * self.loss

    def values(self) -> dict[str, float]:
        return {"loss": self.loss}

    def gauges(self) -> dict[str, float]:
        return {}

    def finish_step(self) -> None: ...

    def held_out(self, step: int) -> Mapping[str, float]:
        return {}

    def position(self) -> dict[str, Any]:
        return {"taken": self.taken}

    def restore(self, position: Mapping[str, Any]) -> None:
        self.taken = position["taken"]

    def close(self) -> None: ...


def run(losses: Sequence[float], folder: Path | None = None, **fields: Any) -> tuple[Number, TrainingState]:
    """`folder`: where the checkpoint of step 2 is kept and gone back to."""
    number, state = Number(losses), TrainingState(identity="run", part="part")
    schedule = Schedule(name="part", learning_rate=0.1, checkpoint_every=2, **fields)
    if folder is None:
        return number, train(number, schedule, state, Listeners(), hold_out_every=1000)
    listeners = Listeners(
        on_checkpoint=lambda state, save: save(folder) if state.step == 2 else None,
        last_checkpoint=lambda: nullcontext(folder),
    )
    return number, train(number, schedule, state, listeners, hold_out_every=1000)


def test_skipped_steps_are_counted_in_a_window() -> None:
    losses = [1.0] * (SKIP_WINDOW + 10)
    losses[0] = losses[SKIP_WINDOW + 5] = NAN
    _, state = run(losses, num_steps=len(losses), max_skipped=1)
    assert state.skipped == [0, SKIP_WINDOW + 5]


def test_a_spike_is_one_of_the_losses_just_before_it() -> None:
    losses = [100.0] * SKIP_WINDOW + [1.0] * SKIP_WINDOW + [50.0, 1.0]
    _, state = run(losses, num_steps=len(losses), spike_ratio=10.0)
    assert state.skipped == [2 * SKIP_WINDOW]
    assert len(state.recent_losses) == SKIP_WINDOW


def test_a_run_goes_back_to_go_on_with_the_batch_behind_the_one_it_failed_at(tmp_path: Path) -> None:
    number, state = run([1.0, 1.0, 1.0, NAN, 2.0, 3.0], tmp_path, num_steps=4, max_skipped=0, max_rollbacks=1)
    assert number.positions == [0, 1, 2, 3, 4, 5]
    assert (state.step, state.skipped, state.num_rollbacks, state.position) == (4, [], 1, {"taken": 6})


def test_a_run_goes_back_no_more_often_than_it_may(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="stops at step 2: its gradient has the norm nan"):
        run([1.0, 1.0, NAN, NAN, 1.0, 1.0], tmp_path, num_steps=4, max_skipped=0, max_rollbacks=1)


def test_a_step_moves_by_the_rate_of_its_number() -> None:
    """AdamW moves by the rate where all gradients are the same."""
    torch.manual_seed(0)
    before = float(Number([]).groups()[0].parameters["number.weight"].detach())
    torch.manual_seed(0)
    number, _ = run([1.0] * 4, num_steps=4, weight_decay=0.0, warmup_share=0.5)
    after = float(number.groups()[0].parameters["number.weight"].detach())
    assert before - after == pytest.approx(0.05 + 0.1 + 0.1 + 0.05, rel=1e-4)


def test_gradients_of_one_message_are_of_one_dtype() -> None:
    gradients = [torch.zeros(2), torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)]
    assert [len(bucket) for bucket in _buckets(gradients)] == [2, 1]


@pytest.mark.parametrize(("deterministic", "mode"), [(True, 2), (False, 0)])
def test_kernels_are_deterministic_where_that_is_asked_for(deterministic: bool, mode: int) -> None:
    with reproducible(1, deterministic=deterministic):
        assert torch.get_deterministic_debug_mode() == mode
        assert not torch.utils.deterministic.fill_uninitialized_memory
    assert torch.utils.deterministic.fill_uninitialized_memory
