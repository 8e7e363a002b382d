"""What a block leaves behind for the backward pass is planned to the number: of eight layers beside four."""

import pytest
import torch

from tests.uniaudio.training.live_bytes import LiveBytes
from uniaudio.lm.blocks import Attend, Stack
from uniaudio.lm.config import RopeConfig, StackConfig
from uniaudio.lm.rope import rotation
from uniaudio.training.plan.memory import RECOMPUTATIONS, Pass, kept_by_block
from uniaudio.training.plan.shapes import block_products

LENGTH = 256


def shape(num_layers: int) -> StackConfig:
    return StackConfig(num_layers=num_layers, width=128, num_heads=4, num_kv_heads=2, head_size=32, mlp_width=384)


def kept(num_layers: int, given: Pass, *, learns: bool) -> int:
    """Bytes that are there behind a forward pass and were not before it."""
    stack = Stack(shape(num_layers), 1e-5).requires_grad_(learns)
    if given.is_sharded and given.precision == "bfloat16":
        stack = stack.to(torch.bfloat16)
    dtype = next(stack.parameters()).dtype
    for parameter in stack.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    for block in stack.blocks():
        block.recomputation = given.recomputation
    x_BSD = torch.randn(1, LENGTH, 128, dtype=dtype, requires_grad=True)
    attend = Attend(rotation(RopeConfig(), torch.arange(LENGTH)[None], 32), documents=[[100, LENGTH - 100]])
    with LiveBytes([*stack.parameters(), x_BSD]) as live:
        before = live.now
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=given.is_autocast):
            out_BSD = stack(x_BSD, attend)
        after = live.now
    assert out_BSD.requires_grad
    return after - before


@pytest.mark.parametrize("num_ranks", [1, 2], ids=["one rank", "sharded"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("recomputation", RECOMPUTATIONS)
@pytest.mark.parametrize("learns", [True, False])
def test_a_block_keeps_what_is_planned(num_ranks: int, precision: str, recomputation: str, learns: bool) -> None:
    given = Pass(
        positions=LENGTH,
        text_targets=0,
        audio_targets=0,
        precision=precision,
        recomputation=recomputation,
        num_ranks=num_ranks,
    )
    found = (kept(8, given, learns=learns) - kept(4, given, learns=learns)) / 4
    if given.is_autocast and recomputation == "none":
        # Copies of weights are planned as `gathered`.
        found -= 2 * block_products(shape(1))
    planned = kept_by_block(shape(1), given, recomputation=recomputation, learns=learns)
    assert planned == pytest.approx(found / LENGTH, rel=0.005)
