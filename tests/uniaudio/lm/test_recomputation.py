"""What the backward pass computes again changes memory and time, and no bit."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from uniaudio_schemas.errors import UsageError

from tests.uniaudio.training.live_bytes import LiveBytes
from uniaudio.lm.blocks import Attend, Stack
from uniaudio.lm.config import RopeConfig, StackConfig
from uniaudio.lm.recomputation import RECOMPUTATIONS, Recomputation
from uniaudio.lm.rope import rotation
from uniaudio.training.lm.doubles import tiny_lm

WIDTH, LENGTH, NUM_LAYERS = 64, 96, 4
CONFIG = StackConfig(num_layers=NUM_LAYERS, width=WIDTH, num_heads=4, num_kv_heads=2, head_size=16, mlp_width=256)


class Calls(TorchDispatchMode):
    """How often each operation runs."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func.name().split("::")[1]] += 1
        return func(*args, **(kwargs or {}))

    def products(self) -> int:
        return self.counts["mm"] + self.counts["_linear_pointwise"]

    def attentions(self) -> int:
        return self.counts["_scaled_dot_product_flash_attention_for_cpu"]


def a_stack(mode: Recomputation) -> Stack:
    torch.manual_seed(0)
    stack = Stack(CONFIG, 1e-5)
    for parameter in stack.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.1)
    for block in stack.blocks():
        block.recomputation = mode
    return stack


def run(stack: Stack, *, documents: bool, backward: bool = True) -> torch.Tensor:
    turn = rotation(RopeConfig(), torch.arange(LENGTH)[None], 16)
    lengths = [[LENGTH // 3, LENGTH - LENGTH // 3]] if documents else None
    x_BSD = torch.randn(1, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = stack(x_BSD, Attend(turn, documents=lengths)).square().sum()
    if backward:
        loss.backward()
    return loss


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_gradients_have_the_bits_of_kept_activations(documents: bool, bfloat16: bool) -> None:
    gradients = []
    for mode in RECOMPUTATIONS:
        stack = a_stack(mode)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            loss = run(stack, documents=documents, backward=False)
        loss.backward()
        gradients.append([parameter.grad for parameter in stack.parameters()])
    for found in gradients[1:]:
        assert all(torch.equal(*pair) for pair in zip(found, gradients[0], strict=True))


@pytest.mark.parametrize(("bfloat16", "num_repeated"), [(False, 5), (True, 4)], ids=["oneDNN", "torch"])
def test_a_selective_backward_pass_repeats_no_product_and_no_attention(bfloat16: bool, num_repeated: int) -> None:
    """Whose product it is: torch stops before a block's last, whose result nobody asks for; ours is asked for its inputs after."""
    calls: dict[str, Calls] = {}
    for mode in RECOMPUTATIONS:
        stack = a_stack(mode)
        with Calls() as calls[mode]:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
                loss = run(stack, documents=False, backward=False)
            loss.backward()
    assert calls["selective"].products() == calls["none"].products()
    assert calls["selective"].attentions() == calls["none"].attentions() == NUM_LAYERS
    assert calls["blocks"].products() == calls["none"].products() + num_repeated * NUM_LAYERS
    assert calls["blocks"].attentions() == 2 * NUM_LAYERS


def test_each_mode_keeps_less_than_the_one_that_repeats_less() -> None:
    kept = {}
    for mode in RECOMPUTATIONS:
        stack = a_stack(mode)
        with LiveBytes(stack.parameters()) as live:
            before = live.now
            loss = run(stack, documents=False, backward=False)
            kept[mode] = live.now - before
        del loss
    assert kept["blocks"] < 0.6 * kept["selective"] < 0.6 * 0.9 * kept["none"]


def test_a_model_is_told_once_and_an_unknown_mode_is_refused() -> None:
    model = tiny_lm()
    model.set_recomputation("selective")
    stacks = [module for module in model.modules() if isinstance(module, Stack)]
    assert len(stacks) == 4
    assert {block.recomputation for stack in stacks for block in stack.blocks()} == {"selective"}
    with pytest.raises(UsageError, match="`mode` must be one of none, blocks, selective, but is 'all'"):
        model.set_recomputation("all")
