"""Single positions over laid-out weights are the same function as the stack itself."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from uniaudio.lm import matrices
from uniaudio.lm.blocks import Attend, Stack
from uniaudio.lm.cache import KVCache
from uniaudio.lm.config import RopeConfig, StackConfig
from uniaudio.lm.generate import generate
from uniaudio.lm.matrices import Blocks, Columns, Matrix, has_blocks, matrix
from uniaudio.lm.rope import rotation
from uniaudio.lm.stepping import StackSteps
from uniaudio.training.lm.doubles import tiny_lm, tiny_vocabulary

CONFIG = StackConfig(num_layers=2, width=32, num_heads=4, num_kv_heads=2, head_size=8, mlp_width=48)


@pytest.fixture
def stack() -> Stack:
    torch.manual_seed(0)
    made = Stack(CONFIG, 1e-5)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
    return made


@torch.no_grad()
def last_of_six(stack: Stack, x_B6D: torch.Tensor, slots: list[int], steps: StackSteps | None) -> torch.Tensor:
    """Five positions at once, then the sixth through `steps`; rows may put it into slots of their own."""
    cache = KVCache(CONFIG, len(x_B6D), 8, x_B6D)
    stack(x_B6D[:, :5], Attend(rotation(RopeConfig(), torch.arange(5)[None], 8)), cache)
    at_B1 = torch.tensor(slots)[:, None]
    turn = rotation(RopeConfig(), at_B1, 8)
    mask = torch.arange(6) <= at_B1[..., None]
    even = len(set(slots)) == 1
    attend = Attend(turn, slots=slots[0], num_keys=slots[0] + 1) if even else Attend(turn, mask, at_B1, 6)
    return stack(x_B6D[:, 5:], attend, cache, steps)


@pytest.fixture(params=["columns", "blocks", "as they lie"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Matrix]:
    """Matrices too small for blocks get them too."""
    if request.param == "blocks" and not has_blocks(torch.float32):
        pytest.skip("this torch has no oneDNN")
    layout = {"columns": Columns, "blocks": Blocks, "as they lie": Matrix}[request.param]
    monkeypatch.setattr(matrices, "_layout_of", lambda _weight, _num_rows: layout)
    return layout


@pytest.mark.parametrize("slots", [[5], [5, 5, 5], [5, 3, 4]], ids=["one row", "even rows", "uneven rows"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_step_equals_the_stack(stack: Stack, slots: list[int], dtype: torch.dtype, layout: type[Matrix]) -> None:
    if layout is Blocks and not has_blocks(dtype):
        pytest.skip(f"oneDNN multiplies no {dtype} on this processor")
    stack.to(dtype)
    x_B6D = torch.randn(len(slots), 6, CONFIG.width, dtype=dtype)
    steps = StackSteps(stack, len(slots), may_copy=True)
    expected, found = (last_of_six(stack, x_B6D, slots, chosen) for chosen in (None, steps))
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    assert not torch.equal(found, x_B6D[:, 5:])
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_every_layout_multiplies_alike(stack: Stack, layout: type[Matrix]) -> None:
    linear = next(stack.blocks()).mlp.gate
    x, other = torch.randn(3, CONFIG.width), torch.randn(3, CONFIG.mlp_width)
    made = matrix(linear, linear.weight, 3, may_copy=True)
    assert type(made) is layout
    product = x @ linear.weight.T
    torch.testing.assert_close(made(x), product)
    torch.testing.assert_close(made.silu(x), torch.nn.functional.silu(product))
    torch.testing.assert_close(made.times(x, other), product * other)
    torch.testing.assert_close(made.plus(x, other), product + other)


@torch.no_grad()
def test_laid_out_weights_follow_the_weights(stack: Stack, layout: type[Matrix]) -> None:
    linear = next(stack.blocks()).mlp.gate
    x = torch.randn(1, CONFIG.width)
    first = matrix(linear, linear.weight, 1, may_copy=True)
    kept = matrix(linear, linear.weight, 1, may_copy=True)
    assert kept.weight is first.weight or layout is Matrix, "a second answer copies nothing"
    linear.weight.mul_(2)
    torch.testing.assert_close(matrix(linear, linear.weight, 1, may_copy=True)(x), linear(x))


@pytest.mark.parametrize("num_rows", [1, 3])
def test_greedy_answers_are_those_of_weights_left_as_they_lie(
    num_rows: int, layout: type[Matrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = tiny_vocabulary()
    model = tiny_lm().eval().requires_grad_(False)
    ids = np.zeros((6, 9), np.int64)
    prompts = []
    for row in range(num_rows):
        ids[:, 8] = np.random.default_rng(row).integers(0, 200, len(ids))
        prompts.append(SimpleNamespace(ids=ids[: 6 - row].copy(), is_audio=np.zeros(6 - row, bool)))

    def answers() -> list[list[list[int]]]:
        made = generate(model, prompts, vocabulary=vocabulary, mode=("text", "audio")[num_rows > 1], max_frames=12)
        return [[segment.ids.tolist() for segment in answer.segments] for answer in made]

    laid_out = answers()
    monkeypatch.setattr(matrices, "_layout_of", lambda _weight, _num_rows: Matrix)
    assert answers() == laid_out
    assert any(any(segments) for segments in laid_out)


def test_a_layout_is_chosen_by_size_rows_and_dtype() -> None:
    weight = torch.zeros(512, 128)
    layouts = [matrices._layout_of(weight, num_rows) for num_rows in (1, 8)]
    assert layouts == [Columns, Blocks if has_blocks(torch.float32) else Columns]
    assert matrices._layout_of(weight.double(), 8) is Matrix
    linear = torch.nn.Linear(8, 8, bias=False)
    assert type(matrix(linear, linear.weight, 1, may_copy=False)) is Matrix
