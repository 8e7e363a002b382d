"""One training step of the reconstruction stage against the released trainer: `model_train`, every draw given."""

import pytest
import torch

from uniaudio.codec.codebook import Codebook
from uniaudio.codec.film import RELEASED_DROP_PROBABILITY
from uniaudio.codec.flow_matching import CONTEXT
from uniaudio.codec.released.load import codec_state

CASE = "model_train"
# Share of items whose whole condition the released trainer sets to zero.
UNCONDITIONED = 0.1
PHONE_WEIGHT, COMMITMENT_WEIGHT = 0.1, 0.5
NOISE = 1e-8
# Level 8 averages what seven subtractions left of a transformer's output: measured 1.1e-5 to 2.1e-5 of its largest value.
BUFFER_TOLERANCE = 1e-4


@pytest.fixture
def codec(golden_codec):
    """The golden codec in train mode; its step was taken without revival of dead codes."""
    codec = golden_codec(CASE).train()
    codec.reasoning.requires_grad_(False)
    codec.flow.attend_padding = True
    for module in codec.modules():
        if isinstance(module, Codebook):
            module.dead_code_threshold = 0.0
    return codec


def losses(codec, io, features) -> dict[str, torch.Tensor]:
    """The released training forward, in terms of our parts."""
    dropped = {group: io[f"film_rand_{group}"] < RELEASED_DROP_PROBABILITY for group in codec.reconstruction.film}
    reasoned = codec.reasoning(features)
    results = codec.reconstruction(features, reasoned.quantized, dropped=dropped)
    mask = io["mask_in"].clone()
    mask[torch.arange(mask.shape[1]) < io["incontext_lengths"][:, None]] = CONTEXT
    condition = results.condition.repeat_interleave(2, dim=1)
    condition = torch.where(mask[..., None] > 0, condition, codec.reconstruction.padding_condition)
    condition = condition * (io["uncond_rand"] >= UNCONDITIONED)[:, None, None]
    flow = codec.flow.loss(io["latents"], condition, mask, time_B=io["t"], noise_BTL=io["z"])
    phone = torch.nn.functional.mse_loss(codec.reconstruction.phone_decoder(results.phone), features.phones)
    total = flow + PHONE_WEIGHT * phone + COMMITMENT_WEIGHT * results.commitment
    return {"loss_flow": flow, "rec_loss": phone, "commit": results.commitment, "total": total}


def test_codec_training_losses_equal_the_released_ones(golden, codec, golden_features):
    io = golden.tensors(CASE, "io")
    for name, loss in losses(codec, io, golden_features(io, "feat.")).items():
        golden.assert_close(loss.reshape(1), io[name])


def test_codec_training_gradients_equal_the_released_ones(golden, codec, golden_features):
    io = golden.tensors(CASE, "io")
    losses(codec, io, golden_features(io, "feat."))["total"].backward()
    expected = codec_state({key[len("grad.") :]: value for key, value in io.items() if key.startswith("grad.")})
    ours = {name: parameter.grad for name, parameter in codec.named_parameters() if parameter.grad is not None}
    assert ours.keys() == expected.keys()
    for name, gradient in expected.items():
        if name.endswith(".key.bias"):
            # Attention does not depend on it: both gradients are rounding noise around zero.
            assert max(ours[name].abs().max(), gradient.abs().max()) < NOISE
        else:
            golden.assert_close(ours[name], gradient)


def test_codec_codebooks_after_a_training_step_equal_the_released_ones(golden, codec, golden_features):
    io = golden.tensors(CASE, "io")
    losses(codec, io, golden_features(io, "feat."))
    expected = codec_state({key[len("after.") :]: value for key, value in io.items() if key.startswith("after.")})
    buffers = dict(codec.named_buffers())
    # Eight reasoning levels, which the released trainer moves although it means to freeze them, and eight others.
    assert len(expected) == 4 * 16
    for name, buffer in expected.items():
        golden.assert_close(buffers[name], buffer, BUFFER_TOLERANCE)
