"""Documents of a packed row look at themselves alone, with a mask and without."""

import pytest
import torch

from uniaudio.lm.blocks import Attend, Attention
from uniaudio.lm.config import RopeConfig, StackConfig
from uniaudio.lm.masks import document_lengths, packed_mask, packed_positions
from uniaudio.lm.rope import rotation
from uniaudio.training.lm import doubles

IDS = torch.tensor([[0, 0, 0, 1, 2, 2, -1, -1], [0, 1, 1, 1, 1, 1, 1, 2]])


def test_lengths_are_those_of_the_runs_and_padding_is_one() -> None:
    assert document_lengths(IDS) == [[3, 1, 2, 2], [1, 6, 1]]


@pytest.mark.parametrize("num_kv_heads", [1, 2])
def test_documents_alone_give_what_a_mask_gives_with_its_gradients(num_kv_heads: int) -> None:
    config = StackConfig(num_layers=1, width=16, num_heads=2, num_kv_heads=num_kv_heads, head_size=8, mlp_width=16)
    attention = Attention(config)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    turn = rotation(RopeConfig(), packed_positions(IDS), 8)
    found = []
    for attend in (Attend(turn, documents=document_lengths(IDS)), Attend(turn, packed_mask(IDS))):
        x_BSD = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
        mixed_BSD = attention(x_BSD, attend, None, 0)
        mixed_BSD.square().sum().backward()
        found.append((mixed_BSD.detach(), x_BSD.grad))
    for alone, masked in zip(*found, strict=True):
        assert (alone - masked).abs().max() < 1e-6 * masked.abs().max()


def test_a_packed_row_on_a_cpu_is_computed_document_by_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniaudio.lm.model.packed_mask", lambda ids: pytest.fail("a mask over whole rows was made"))
    model = doubles.tiny_lm()
    ids = torch.zeros(2, 8, 9, dtype=torch.int64)
    model(ids, torch.zeros(2, 8, dtype=torch.bool), IDS >= 0, IDS)
