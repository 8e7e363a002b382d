"""What the residual VQ promises beyond the golden tensors: buffers, revival, masks, several ranks."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.codebook import Codebook, kmeans
from uniaudio.codec.quantize import ResidualVQ, rotate_to


def small_vq(**changes) -> ResidualVQ:
    torch.manual_seed(0)
    return ResidualVQ(12, 4, 3, 16, **{"dead_code_threshold": 0.1, **changes})


def buffers_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def changed(before: dict[str, torch.Tensor], module: torch.nn.Module) -> list[str]:
    return [name for name, buffer in module.named_buffers() if not torch.equal(buffer, before[name])]


def test_evaluating_leaves_every_buffer_bit_identical():
    vq = small_vq().eval()
    before = buffers_of(vq)
    vq(torch.randn(2, 9, 12))
    assert changed(before, vq) == []


def test_a_frozen_quantizer_leaves_every_buffer_bit_identical_even_in_train_mode():
    vq = small_vq(kmeans_init=True)
    vq.freeze()
    before = buffers_of(vq)
    vq.train()(torch.randn(2, 9, 12))
    assert changed(before, vq) == []
    assert not any(parameter.requires_grad for parameter in vq.parameters())


def test_encoding_codes_leaves_every_buffer_bit_identical_even_in_train_mode():
    vq = small_vq().train()
    before = buffers_of(vq)
    vq.encode_indices(torch.randn(2, 9, 12))
    assert changed(before, vq) == []


def test_training_moves_every_codebook():
    vq = small_vq().train()
    before = buffers_of(vq)
    vq(torch.randn(2, 9, 12))
    assert {name for name in changed(before, vq) if name.endswith("vectors")} == {
        f"codebooks.{level}.vectors" for level in range(3)
    }


def test_decoding_the_codes_gives_the_quantized_features():
    vq = small_vq().eval()
    quantized, codes, _ = vq(torch.randn(2, 9, 12))
    assert torch.allclose(vq.decode(codes), quantized, atol=1e-6)


def test_more_levels_leave_a_smaller_residual_on_average():
    vq = small_vq().train()
    x = torch.randn(4, 50, 12)
    for _ in range(20):
        _, _, losses = vq(x)
    assert losses.tolist() == sorted(losses.tolist(), reverse=True)


def test_dead_codes_become_inputs_of_the_batch_and_start_at_the_threshold():
    torch.manual_seed(0)
    codebook = Codebook(4, 16, decay=0.9, dead_code_threshold=0.95)
    inputs = torch.randn(5, 4)
    codebook.update(inputs, torch.zeros(5, dtype=torch.int64))
    # Code 0 won all five inputs; the others fell from 1 to 0.9 and died.
    assert codebook.cluster_size[0] == pytest.approx(0.9 + 0.5)
    assert torch.equal(codebook.cluster_size[1:], torch.full((15,), 0.95))
    for vector, total in zip(codebook.vectors[1:], codebook.cluster_sum[1:], strict=True):
        assert any(torch.equal(vector, row) for row in inputs)
        assert torch.allclose(total, vector * 0.95)


def test_codes_above_the_threshold_are_not_revived():
    codebook = Codebook(4, 16, decay=0.9, dead_code_threshold=0.5)
    before = codebook.vectors.clone()
    codebook.update(torch.randn(5, 4), torch.zeros(5, dtype=torch.int64))
    assert torch.allclose(codebook.vectors[1:], before[1:], atol=1e-4)


def test_padding_changes_neither_losses_nor_buffers():
    x = torch.randn(2, 9, 12)
    valid = torch.ones(2, 9, dtype=torch.bool)
    valid[1, 5:] = False
    one, other = small_vq().train(), small_vq().train()
    _, _, losses = one(x, valid)
    x[1, 5:] = 100.0
    _, _, losses_with_noise_in_padding = other(x, valid)
    assert torch.equal(losses, losses_with_noise_in_padding)
    assert changed(buffers_of(one), other) == []


def test_a_training_batch_of_padding_alone_is_refused():
    with pytest.raises(UsageError, match="but holds none"):
        small_vq().train()(torch.randn(2, 9, 12), torch.zeros(2, 9, dtype=torch.bool))


def test_a_mask_without_padding_is_no_mask():
    x = torch.randn(2, 9, 12)
    _, codes, losses = small_vq().train()(x)
    _, masked_codes, masked_losses = small_vq().train()(x, torch.ones(2, 9, dtype=torch.bool))
    assert torch.equal(codes, masked_codes)
    assert torch.allclose(losses, masked_losses)


def test_kmeans_start_happens_once_and_places_codes_on_the_clusters():
    torch.manual_seed(0)
    centers = torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0], [0.0, -4.0]])
    inputs = centers.repeat(50, 1) + 0.1 * torch.randn(200, 2)
    codebook = Codebook(2, 8, decay=0.9, dead_code_threshold=0.0, kmeans_init=True)
    assert not codebook.initialized
    codebook.start(inputs)
    assert codebook.initialized
    assert (torch.cdist(inputs, codebook.vectors).min(dim=1).values < 0.6).all()
    first = codebook.vectors.clone()
    codebook.start(torch.randn(200, 2))
    assert torch.equal(codebook.vectors, first)


def test_kmeans_needs_no_more_inputs_than_there_are():
    assert kmeans(torch.randn(3, 2), 8).shape == (8, 2)


def test_rotation_has_the_value_of_the_target_and_a_gradient_of_the_stretched_length():
    source, target = torch.randn(7, 4, requires_grad=True), torch.randn(7, 4)
    rotated = rotate_to(source, target)
    assert torch.allclose(rotated, target, atol=1e-5)
    upstream = torch.randn(7, 4)
    (gradient,) = torch.autograd.grad(rotated, [source], upstream)
    stretch = target.norm(dim=-1) / source.detach().norm(dim=-1)
    assert torch.allclose(gradient.norm(dim=-1), upstream.norm(dim=-1) * stretch, rtol=1e-4)


def test_the_search_is_float32_under_autocast():
    codebook = Codebook(4, 64, decay=0.9, dead_code_threshold=0.0)
    inputs = torch.randn(50, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(codebook.search(inputs), codebook.search(inputs.double().float()))
    expected = torch.cdist(inputs.double(), codebook.vectors.double()).argmin(dim=1)
    assert torch.equal(codebook.search(inputs), expected)


def _train_on_half(rank: int, rendezvous: str, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    try:
        vq = small_vq(dead_code_threshold=0.95, kmeans_init=False).train()
        x = torch.randn(2, 9, 12, generator=torch.Generator().manual_seed(5))
        torch.manual_seed(rank)
        vq(x[rank : rank + 1])
        torch.save(dict(vq.named_buffers()), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_end_with_the_same_codebooks_and_with_those_of_one_rank(tmp_path):
    multiprocessing.spawn(_train_on_half, (str(tmp_path / "rendezvous"), str(tmp_path)), nprocs=2)
    zero, one = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(zero[name], one[name]) for name in zero)
    alone = small_vq(dead_code_threshold=0.0).train()
    alone(torch.randn(2, 9, 12, generator=torch.Generator().manual_seed(5)))
    living = alone.codebooks[0].cluster_size >= 0.95
    assert 0 < living.sum() < 16
    assert torch.allclose(zero["codebooks.0.vectors"][living], alone.codebooks[0].vectors[living], atol=1e-5)


def test_a_copy_trains_like_the_original():
    vq = small_vq().train()
    twin = copy.deepcopy(vq)
    x = torch.randn(2, 9, 12)
    vq(x), twin(x)
    assert changed(buffers_of(vq), twin) == []


def test_a_normalized_vector_is_found_whatever_its_length_and_its_codes_cannot_shrink() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVQ(12, 8, 1, 32, kmeans_init=True)
    quantizer.normalizes = True
    x_BTD = torch.randn(1, 64, 12)
    with torch.no_grad():
        quantizer.project_in.bias.zero_()
    quantizer.train()(x_BTD)
    codes = quantizer.encode_indices(x_BTD)
    assert (quantizer.encode_indices(0.1 * x_BTD) == codes).float().mean() > 0.9 and len(codes.unique()) > 8
    assert torch.allclose(quantizer.code_space(0.1 * x_BTD).std(dim=-1, correction=0), torch.ones(1, 64), atol=0.05)
    plain = ResidualVQ(12, 8, 1, 32)
    assert torch.equal(plain.code_space(x_BTD), plain.project_in(x_BTD))
