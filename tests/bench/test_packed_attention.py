"""Attention of packed rows by the length of their documents: each document alone, in blocks, and behind a mask of positions.

    pytest -m bench -s tests/bench/test_packed_attention.py

On a CPU blocks have a forward pass alone and no kernel of their own speed, so what is compared there is the share of blocks that a
kernel would compute; times are of the two ways that a CPU trains with.
"""

import pytest
import torch

from tests.bench.lm_shapes import seconds
from uniaudio.lm.blocks import Attend, Attention
from uniaudio.lm.config import RopeConfig, StackConfig
from uniaudio.lm.masks import document_lengths, packed_mask, packed_positions
from uniaudio.lm.packed import block_mask
from uniaudio.lm.rope import rotation

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1_800)]
STACK = StackConfig(num_layers=1, width=512, num_heads=8, num_kv_heads=2, head_size=64, mlp_width=64)
CONTEXT = 2048


def step(attention: Attention, attend: Attend, x_BSD: torch.Tensor) -> None:
    attention(x_BSD, attend, None, 0).sum().backward()


def test_cost_by_length_of_the_documents(capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    attention = Attention(STACK)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    x_BSD = torch.randn(1, CONTEXT, STACK.width, requires_grad=True)
    ratios = {}
    with capsys.disabled():
        print(
            "\npositions a document: time of documents alone over that of a mask; blocks of 128 computed, of them masked"
        )
        for length in (64, 128, 256, 512, 1024, 2048):
            ids_BS = (torch.arange(CONTEXT) // length)[None]
            turn = rotation(RopeConfig(), packed_positions(ids_BS), STACK.head_size)
            alone, masked = (
                Attend(turn, documents=document_lengths(ids_BS)),
                Attend(turn, packed_mask(ids_BS)),
            )
            times = seconds(lambda a=alone: step(attention, a, x_BSD), lambda m=masked: step(attention, m, x_BSD))
            ratios[length] = times[0] / times[1]
            blocks = block_mask(ids_BS)
            partial = int(blocks.kv_num_blocks.sum())
            full = int(blocks.full_kv_num_blocks.sum()) if blocks.full_kv_num_blocks is not None else 0
            of = (CONTEXT // 128) ** 2
            print(f"{length:>6}: {ratios[length]:.2f}; {(partial + full) / of:.1%}, {partial / (partial + full):.0%}")
    assert ratios[64] < 0.7
    assert max(ratios.values()) < 1.1
