"""Documents of a packed row look at themselves alone, in blocks as one by one."""

from typing import get_args

import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask
from torch.utils._python_dispatch import TorchDispatchMode

from uniaudio.lm import model as model_module
from uniaudio.lm.blocks import Attend, Attention
from uniaudio.lm.config import RopeConfig, StackConfig
from uniaudio.lm.masks import document_lengths, packed_mask, packed_positions
from uniaudio.lm.packed import BLOCK, PackedAttention, attend_in_blocks, block_mask, usual_attention
from uniaudio.lm.rope import rotation
from uniaudio.training.lm import doubles


def ids_of(*rows: list[tuple[int, int]]) -> torch.Tensor:
    """Rows of (document id, positions)."""
    return torch.stack([torch.cat([torch.full((count,), one) for one, count in row]) for row in rows])


LAYOUTS = {
    "one document of three blocks": ids_of([(0, 3 * BLOCK)]),
    "borders between blocks": ids_of([(0, BLOCK), (1, 2 * BLOCK), (2, BLOCK)]),
    "borders inside blocks, padding, no whole last block": ids_of(
        [(0, 200), (1, 7), (2, 300), (-1, 93)], [(5, 599), (0, 1)]
    ),
    "an id that comes back": ids_of([(3, 150), (1, 150), (3, 200)]),
    "shorter than a block": ids_of([(0, 20), (1, 13)]),
}


@pytest.mark.parametrize("ids_BS", LAYOUTS.values(), ids=LAYOUTS)
def test_blocks_are_those_of_the_mask_of_positions(ids_BS: torch.Tensor) -> None:
    """Also which of them need no mask: torch finds them by looking at each position."""
    found = block_mask(ids_BS)
    rows, length = ids_BS.shape
    expected = create_block_mask(found.mask_mod, rows, None, length, length, device="cpu")
    assert torch.equal(found.to_dense(), expected.to_dense())
    for name in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks", "full_q_num_blocks"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    for counts, indices in (("kv_num_blocks", "kv_indices"), ("full_kv_num_blocks", "full_kv_indices")):
        for count, mine, theirs in zip(
            getattr(found, counts).flatten(), getattr(found, indices).flatten(0, 2), getattr(expected, indices).flatten(0, 2), strict=True
        ):  # fmt: skip
            assert torch.equal(mine[:count], theirs[:count])


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = func(*args, **(kwargs or {}))
        for tensor in given if isinstance(given, tuple | list) else (given,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return given


def test_no_mask_of_positions_is_built() -> None:
    ids_BS = ids_of([(0, 1000), (1, 3000), (2, 4192)])
    with LargestTensor() as largest:
        block_mask(ids_BS)
    num_blocks = ids_BS.shape[1] // BLOCK
    assert largest.elements <= max(ids_BS.shape[1], (num_blocks + 1) ** 2)


@pytest.mark.slow
@pytest.mark.parametrize("num_kv_heads", [1, 2])
def test_blocks_give_what_documents_alone_give(num_kv_heads: int) -> None:
    """Without gradients: on a CPU FlexAttention has none."""
    config = StackConfig(num_layers=1, width=16, num_heads=2, num_kv_heads=num_kv_heads, head_size=16, mlp_width=16)
    attention = Attention(config)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    ids_BS = LAYOUTS["borders inside blocks, padding, no whole last block"]
    turn = rotation(RopeConfig(), packed_positions(ids_BS), 16)
    x_BSD = torch.randn(*ids_BS.shape, 16, generator=torch.Generator().manual_seed(1))
    ways = (
        Attend(turn, blocks=block_mask(ids_BS)),
        Attend(turn, documents=document_lengths(ids_BS)),
        Attend(turn, packed_mask(ids_BS)),
    )
    with torch.no_grad():
        in_blocks, alone, masked = (attention(x_BSD, attend, None, 0) for attend in ways)
    torch.testing.assert_close(in_blocks, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(in_blocks, masked, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_a_model_gives_the_same_whichever_way_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids_BS = doubles.tiny_lm(), LAYOUTS["borders inside blocks, padding, no whole last block"]
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 60, (*ids_BS.shape, 9), generator=generator)
    is_audio = (torch.rand(ids_BS.shape, generator=generator) < 0.5) & (ids_BS >= 0)
    hidden = {}
    for how in get_args(PackedAttention):
        model.packed_attention = how
        with torch.no_grad():
            hidden[how] = model(ids, is_audio, (ids_BS >= 0) & ~is_audio, ids_BS)
    for found in hidden.values():
        torch.testing.assert_close(found, hidden["by_document"], atol=2e-5, rtol=1e-4)


def test_a_pass_plans_its_attention_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of layers; the depth decoder, which sees frames and no rows, has a plan of its own."""
    made: list[object] = []
    monkeypatch.setattr(model_module, "Attend", lambda *given, **named: made.append(given) or Attend(*given, **named))
    model, ids_BS = doubles.tiny_lm(), ids_of([(0, 5), (1, 3)])
    model(torch.zeros(1, 8, 9, dtype=torch.int64), torch.zeros(1, 8, dtype=torch.bool), ids_BS >= 0, ids_BS)
    assert len(made) == 1


def test_a_device_takes_blocks_and_a_processor_documents() -> None:
    assert usual_attention(torch.device("cuda")) == "block_mask"
    assert usual_attention(torch.device("cpu")) == "by_document"
    assert usual_attention(torch.device("cuda"), compiled=True) == "block_mask"
    assert usual_attention(torch.device("cpu"), compiled=True) == "dense_mask"


def test_blocks_have_no_backward_pass_on_a_processor() -> None:
    """Torch says so: nothing else is computed in its place."""
    query = torch.randn(1, 1, 8, 16, requires_grad=True)
    with pytest.raises(NotImplementedError, match="does not support backward on CPU"):
        attend_in_blocks(query, query, query, block_mask(ids_of([(0, 8)])), grouped=False).sum().backward()
