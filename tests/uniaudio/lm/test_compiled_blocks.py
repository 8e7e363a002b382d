"""Blocks as compiled regions without a graph break, recomputation included."""

from collections.abc import Callable

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from uniaudio_schemas.errors import UsageError

from uniaudio.lm.recomputation import RECOMPUTATIONS, Recomputation
from uniaudio.training.lm.doubles import tiny_lm

IDS = torch.tensor([[0] * 9 + [1] * 14 + [2] * 5 + [-1] * 4])


def gradients(mode: Recomputation, backend: str | Callable | None, seed: int = 0) -> dict[str, torch.Tensor]:
    """Of the whole trunk, whose blocks `backend` runs."""
    torch._dynamo.reset()
    model = tiny_lm()
    model.packed_attention = "dense_mask"
    model.set_recomputation(mode)
    if backend is not None:
        model.compile_blocks(backend)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 60, (*IDS.shape, 9), generator=generator)
    is_audio = (torch.rand(IDS.shape, generator=generator) < 0.5) & (IDS >= 0)
    hidden_BSD = model(ids, is_audio, (IDS >= 0) & ~is_audio, IDS)
    codes_NQ = torch.randint(0, 60, (7, 8), generator=generator)
    logits_NQV = model.audio_logits(hidden_BSD[0, :7], codes_NQ)
    (hidden_BSD.square().sum() + logits_NQV.square().sum()).backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {name: gradient for name, gradient in found.items() if gradient is not None}


@pytest.mark.slow
@pytest.mark.parametrize("mode", RECOMPUTATIONS)
def test_blocks_are_one_region_each_with_the_gradients_of_loose_ones(mode: Recomputation) -> None:
    """`fullgraph` refuses a graph break; blocks of one stack share their code."""
    counter = CompileCounterWithBackend("aot_eager")
    compiled, loose = gradients(mode, counter), gradients(mode, None)
    assert 0 < counter.frame_count <= 4
    assert compiled.keys() == loose.keys()
    for name, gradient in loose.items():
        torch.testing.assert_close(compiled[name], gradient, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_compilers_own_code_gives_the_same_gradients() -> None:
    compiled, loose = gradients("selective", "inductor"), gradients("none", None)
    for name, gradient in loose.items():
        torch.testing.assert_close(compiled[name], gradient, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_rows_of_another_length_do_not_compile_for_ever() -> None:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("eager")
    model = tiny_lm()
    model.compile_blocks(counter)
    for length in (20, 21, 22, 23, 24, 30):
        ids = torch.zeros(1, length, 9, dtype=torch.int64)
        model(ids, torch.zeros(1, length, dtype=torch.bool), torch.ones(1, length, dtype=torch.bool))
    assert counter.frame_count <= 4


def test_documents_one_by_one_are_refused_where_blocks_are_compiled() -> None:
    model = tiny_lm()
    model.compiles_blocks, model.packed_attention = True, "by_document"
    with pytest.raises(UsageError, match="where blocks are compiled, but is by_document"):
        model(torch.zeros(*IDS.shape, 9, dtype=torch.int64), IDS < 0, IDS >= 0, IDS)


def test_a_model_of_compiled_blocks_takes_no_lengths_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniaudio.lm.model.document_lengths", lambda ids: pytest.fail("lengths were asked for"))
    model = tiny_lm()
    model.compiles_blocks = True
    model(torch.zeros(*IDS.shape, 9, dtype=torch.int64), IDS < 0, IDS >= 0, IDS)


@pytest.mark.slow
def test_blocks_of_packed_rows_compile_once_whatever_the_documents_are() -> None:
    """As on a GPU, but without gradients, which FlexAttention has none of on a CPU."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("eager")
    compiled, loose = tiny_lm(), tiny_lm()
    compiled.packed_attention = "block_mask"
    compiled.compile_blocks(counter)
    frames = []
    for border in (3, 70, 180):
        documents_BS = (torch.arange(200) >= border)[None].long()
        ids = torch.randint(0, 60, (1, 200, 9), generator=torch.Generator().manual_seed(border))
        is_audio_BS = torch.arange(200)[None] % 3 == 0
        with torch.no_grad():
            found, expected = (model(ids, is_audio_BS, ~is_audio_BS, documents_BS) for model in (compiled, loose))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        frames.append(counter.frame_count)
    assert 0 < frames[0] == frames[-1]
