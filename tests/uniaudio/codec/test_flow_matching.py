"""What the flow promises beyond the golden tensors: batches, guidance, context, padding, seeds."""

from dataclasses import replace

import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.config.parts import FlowConfig
from uniaudio.codec.flow import FlowTransformer
from uniaudio.codec.flow_matching import CONTEXT, GENERATE, PADDING, FlowMatching, frame_weights

CONFIG = FlowConfig(latent_dim=4, condition_dim=6, dim=16, num_layers=2, num_heads=2, time_dim=32)


@pytest.fixture
def flow() -> FlowMatching:
    torch.manual_seed(0)
    return FlowMatching(FlowTransformer(CONFIG)).eval()


def noise_and_condition(num_items: int = 3, num_frames: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(num_items, num_frames, 4, generator=generator)
    return noise, torch.randn(num_items, num_frames, 6, generator=generator)


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_a_batch_decodes_like_its_items_one_by_one(flow, guidance):
    noise, condition = noise_and_condition()
    together = flow.sample(condition, num_steps=3, guidance=guidance, noise_BTL=noise)
    for item in range(3):
        alone = flow.sample(
            condition[item : item + 1], num_steps=3, guidance=guidance, noise_BTL=noise[item : item + 1]
        )
        assert torch.allclose(together[item : item + 1], alone, atol=1e-5)


def test_guidance_one_is_the_limit_of_guidance_near_one(flow):
    noise, condition = noise_and_condition()
    exact = flow.sample(condition, num_steps=3, guidance=1.0, noise_BTL=noise)
    near = flow.sample(condition, num_steps=3, guidance=1.0 + 1e-6, noise_BTL=noise)
    assert torch.allclose(exact, near, atol=1e-4)


def test_guidance_zero_ignores_the_condition(flow):
    noise, condition = noise_and_condition()
    one = flow.sample(condition, num_steps=2, guidance=0.0, noise_BTL=noise)
    other = flow.sample(-condition, num_steps=2, guidance=0.0, noise_BTL=noise)
    assert torch.equal(one, other)


def test_the_context_is_returned_as_it_was_given_and_noise_stays_untouched(flow):
    noise, condition = noise_and_condition()
    context, kept = torch.randn(3, 4, 4), noise.clone()
    latents = flow.sample(condition, num_steps=2, noise_BTL=noise, context_BPL=context)
    assert torch.equal(latents[:, :4], context)
    assert torch.equal(noise, kept)


def test_scaled_latents_are_those_of_a_flow_that_knows_larger_ones(flow):
    scaled = FlowMatching(FlowTransformer(replace(CONFIG, latent_scale=4.0))).eval()
    scaled.load_state_dict(flow.state_dict())
    noise, condition = noise_and_condition()
    context, latents = torch.randn(3, 4, 4), torch.randn(3, 10, 4)
    small = scaled.sample(condition, num_steps=2, noise_BTL=noise, context_BPL=context)
    large = flow.sample(condition, num_steps=2, noise_BTL=noise, context_BPL=4 * context)
    assert torch.equal(4 * small, large)
    mask, time = torch.full((3, 10), GENERATE), torch.tensor([0.1, 0.5, 0.9])
    mask[:, :4] = CONTEXT
    drawn = {"time_B": time, "noise_BTL": noise}
    assert torch.equal(scaled.loss(latents, condition, mask, **drawn), flow.loss(4 * latents, condition, mask, **drawn))
    told = scaled.loss(latents, condition, mask, context_BTL=latents * (mask == CONTEXT)[..., None], **drawn)
    assert torch.equal(told, scaled.loss(latents, condition, mask, **drawn))


def test_a_seed_decides_the_latents(flow):
    _, condition = noise_and_condition()
    one, same, other = (
        flow.sample(condition, num_steps=2, generator=torch.Generator().manual_seed(seed)) for seed in (7, 7, 8)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_no_steps_are_refused(flow):
    noise, condition = noise_and_condition()
    with pytest.raises(UsageError, match="but is 0"):
        flow.sample(condition, num_steps=0, noise_BTL=noise)


def test_what_lies_in_the_padding_condition_does_not_change_the_loss_of_real_frames(flow):
    noise, condition = noise_and_condition()
    latents, time = torch.randn(3, 10, 4), torch.rand(3)
    valid = torch.ones(3, 10, dtype=torch.bool)
    valid[:, 6:] = False
    inputs = torch.cat([noise, torch.zeros_like(latents), condition], dim=-1)
    changed = inputs.clone()
    changed[:, 7:] = 50.0  # The convolution in front sees one frame ahead.
    ours, theirs = flow.transformer(inputs, time, valid), flow.transformer(changed, time, valid)
    assert torch.allclose(ours[:, :5], theirs[:, :5], atol=1e-5)
    without_mask = flow.transformer(changed, time)
    assert not torch.allclose(ours[:, :5], without_mask[:, :5], atol=1e-3)


def test_an_item_of_padding_alone_gives_a_finite_loss(flow):
    noise, condition = noise_and_condition()
    mask = torch.full((3, 10), GENERATE)
    mask[2] = PADDING
    assert torch.isfinite(flow.loss(torch.randn(3, 10, 4), condition, mask, noise_BTL=noise))


def test_context_frames_have_no_loss():
    mask = torch.tensor([[PADDING, CONTEXT, GENERATE]])
    assert torch.equal(frame_weights(mask, torch.float32), torch.tensor([[0.01, 0.0, 1.0]]))


def test_training_lowers_the_loss():
    torch.manual_seed(0)
    flow = FlowMatching(FlowTransformer(CONFIG))
    target = torch.linspace(-1, 1, 4).expand(8, 6, 4)
    mask, condition = torch.full((8, 6), GENERATE), torch.zeros(8, 6, 6)
    losses = []
    for _ in range(40):
        loss = flow.loss(target, condition, mask, generator=torch.Generator().manual_seed(0))
        # Descent by hand: the first optimizer of a process imports torch's compiler, which takes seconds.
        gradients = torch.autograd.grad(loss, list(flow.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(flow.parameters(), gradients, strict=True):
                parameter -= 0.05 * gradient
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
