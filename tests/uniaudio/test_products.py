"""Products through oneDNN are those of `F.linear`, their gradients too."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from uniaudio import products
from uniaudio.lm.config import LMConfig
from uniaudio.lm.generate import generate
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.sampling import Sampling
from uniaudio.products import MIN_PRODUCTS, EveryLinear, is_for_onednn, linear
from uniaudio.sequence.vocabulary import Vocabulary

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


def product_and_gradients(x: Tensor, weight: Tensor, product: object) -> list[Tensor]:
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    made: Tensor = product(x, weight)  # type: ignore[operator]
    made.sin().sum().backward()
    assert x.grad is not None and weight.grad is not None
    return [made.detach(), x.grad, weight.grad]


@needs_onednn
@pytest.mark.parametrize("shape", [(64,), (4, 16)])
def test_a_product_and_its_gradients_are_those_of_the_plain_one(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(*shape, 96), torch.randn(64, 96) / 8
    calls: list[int] = []
    original = products.onednn
    monkeypatch.setattr(products, "onednn", lambda *given: calls.append(1) or original(*given))
    found = product_and_gradients(x, weight, linear)
    assert len(calls) == 3, "forward and both gradients went through oneDNN"
    for ours, theirs in zip(found, product_and_gradients(x, weight, F.linear), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@needs_onednn
def test_a_frozen_weight_gets_no_gradient_and_passes_one_on() -> None:
    weight, x = torch.randn(64, 128), torch.randn(64, 128, requires_grad=True)
    linear(x, weight).sum().backward()
    assert weight.grad is None and x.grad is not None
    torch.testing.assert_close(x.grad, weight.sum(0).expand_as(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_and_small_products_stay_with_torch(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "multiplies_bfloat16", lambda: True)
    weight = torch.zeros(64, 64)
    rows = MIN_PRODUCTS // weight.numel()
    assert is_for_onednn(weight, rows) == torch.backends.mkldnn.is_available()
    assert not is_for_onednn(weight, rows - 1)
    assert not is_for_onednn(weight.to(dtype), rows)
    x = torch.randn(rows, 64)
    weight.normal_()
    assert torch.equal(linear(x.to(dtype), weight.to(dtype)), F.linear(x.to(dtype), weight.to(dtype)))


def test_autocast_decides_itself() -> None:
    x, weight = torch.randn(64, 64), torch.randn(64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_within_the_mode_the_layers_of_other_libraries_go_through_onednn_too(
    bias: bool, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(128, 64, bias=bias).requires_grad_(not frozen), torch.randn(2, 32, 128)
    calls: list[int] = []
    original = products.onednn
    monkeypatch.setattr(products, "onednn", lambda *given: calls.append(1) or original(*given))
    expected = layer(x)
    assert not calls
    with EveryLinear():
        found = layer(x)
    assert calls == [1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    if not frozen:
        plain = torch.autograd.grad(expected.sin().sum(), layer.parameters())
        ours = torch.autograd.grad(found.sin().sum(), layer.parameters())
        for one, other in zip(ours, plain, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@needs_onednn
def test_a_prompt_is_read_through_onednn_and_a_model_that_is_called_computes_as_torch_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vocabulary = Vocabulary()
    model = UniAudioLM(LMConfig.preset("debug", vocabulary)).requires_grad_(False)
    ids, is_audio = torch.zeros(300, 9, dtype=torch.int64), torch.zeros(300, dtype=torch.bool)
    calls: list[int] = []
    original = products.onednn
    monkeypatch.setattr(products, "onednn", lambda *given: calls.append(1) or original(*given))
    with torch.no_grad():
        model(ids[None], is_audio[None], ~is_audio[None])
    assert not calls
    prompt = SimpleNamespace(ids=ids, is_audio=is_audio)
    generate(model, [prompt], vocabulary=vocabulary, mode="text", max_text=1, sampling=Sampling())
    assert calls


@pytest.mark.parametrize("has_bias", [False, True])
def test_bfloat16_weights_are_widened_in_turn_where_the_processor_does_not_multiply_them(
    has_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(products, "WIDENED_WEIGHTS", 10 * 96)
    weight, bias = torch.randn(64, 96).bfloat16(), torch.randn(64).bfloat16() if has_bias else None
    x = torch.randn(3, 5, 96).bfloat16()
    shapes: list[tuple[int, ...]] = []
    original = F.linear
    monkeypatch.setattr(F, "linear", lambda x, w, b=None: shapes.append((*w.shape, len(x))) or original(x, w, b))
    found = linear(x, weight, bias)
    assert shapes == [(10, 96, 15)] * 6 + [(4, 96, 15)]
    assert found.dtype == torch.bfloat16
    exact = original(x.double(), weight.double(), None if bias is None else bias.double())
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=0.02)
    for few in (x[0, :, :], x.clone().requires_grad_()):
        shapes.clear()
        torch.testing.assert_close(linear(few, weight, bias), original(few, weight, bias), rtol=0, atol=0)
        assert len(shapes) == 1, "few rows, and those with gradients, are torch's"
