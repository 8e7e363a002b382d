"""Residual VQ against the released quantizers: `rvq_reason` (8 levels) and `rvq_acoustic` (6 levels)."""

import pytest
import torch

from uniaudio.codec.quantize import ResidualVQ
from uniaudio.codec.released.parts import residual_vq_state

pytestmark = pytest.mark.parametrize("case", ["rvq_reason", "rvq_acoustic"])


def released_vq(golden, case: str) -> ResidualVQ:
    """The released quantizer; threshold 0 because the golden step was taken without revival."""
    info = golden.info(case)
    vq = ResidualVQ(
        info["dim"],
        info["codebook_dim"],
        info["num_quantizers"],
        info["codebook_size"],
        decay=info["decay"],
        commitment=info["commitment_weight"],
        dead_code_threshold=0.0,
    )
    vq.load_state_dict(residual_vq_state(golden.tensors(case, "weights")))
    return vq


def test_codec_codes_and_quantized_features_equal_the_released_ones(golden, case):
    vq = released_vq(golden, case).eval()
    io = golden.tensors(case, "io_eval")
    quantized, codes, _ = vq(io["x"])
    golden.assert_codes_equal(codes, io["indices"], io["margins"])
    golden.assert_close(quantized, io["out"])
    assert torch.equal(vq.encode_indices(io["x"]), codes)


def test_codec_decoding_codes_gives_the_released_features(golden, case):
    io = golden.tensors(case, "io_eval")
    golden.assert_close(released_vq(golden, case).decode(io["indices"]), io["decoded"])


def test_codec_training_step_has_the_released_losses_and_gradients(golden, case):
    vq = released_vq(golden, case).train()
    io = golden.tensors(case, "io_train")
    x = io["x"].clone().requires_grad_()
    quantized, codes, losses = vq(x)
    assert torch.equal(codes, io["indices"])
    golden.assert_close(quantized, io["out"])
    golden.assert_close(losses, io["losses"])
    # The scalar behind the golden gradients.
    (0.5 * quantized.square().sum() + losses.sum()).backward()
    golden.assert_close(x.grad, io["grad_x"])
    golden.assert_close(vq.project_in.weight.grad, io["grad_project_in_weight"])
    golden.assert_close(vq.project_out.weight.grad, io["grad_project_out_weight"])


def test_codec_moving_averages_after_one_step_equal_the_released_ones(golden, case):
    vq = released_vq(golden, case).train()
    io = golden.tensors(case, "io_train")
    vq(io["x"])
    expected = residual_vq_state({key[len("after.") :]: value for key, value in io.items() if key.startswith("after.")})
    ours = vq.state_dict()
    assert len(expected) == 4 * vq.num_levels
    for key, value in expected.items():
        golden.assert_close(ours[key], value)
