"""Discriminators of phase `scalar`: they tell decoded from recorded audio, and each part of the loss reaches one side."""

import torch

from uniaudio.testing import a_waveform
from uniaudio.training.codec.discriminators import Discriminators, adversarial_loss, discriminator_loss, feature_loss


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    recorded = torch.from_numpy(a_waveform(0.2))[None]
    return recorded, (recorded * 0.5 + 0.05 * torch.randn(recorded.shape)).requires_grad_()


def test_discriminators_learn_to_tell_decoded_from_recorded_audio() -> None:
    torch.manual_seed(0)
    discriminators, (recorded, decoded) = Discriminators(4), pair()
    optimizer = torch.optim.AdamW(discriminators.parameters(), lr=5e-3, betas=(0.8, 0.99))
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = discriminator_loss(discriminators(recorded), discriminators(decoded.detach()))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert 1.8 < losses[0] < 2.2
    assert losses[-1] < 1.5


def test_what_judges_the_decoder_gives_the_discriminators_no_gradient() -> None:
    torch.manual_seed(0)
    discriminators, (recorded, decoded) = Discriminators(4), pair()
    with discriminators.as_judge():
        judged = discriminators(decoded)
        with torch.no_grad():
            reference = discriminators(recorded)
    (adversarial_loss(judged) + feature_loss(reference, judged)).backward()
    assert decoded.grad is not None and decoded.grad.abs().sum() > 0
    assert all(parameter.grad is None and parameter.requires_grad for parameter in discriminators.parameters())


def test_the_feature_distance_is_zero_for_equal_audio_and_grows_with_the_difference() -> None:
    torch.manual_seed(0)
    discriminators, (recorded, decoded) = Discriminators(4), pair()
    with torch.no_grad():
        reference = discriminators(recorded)
        near, far = (discriminators(recorded + share * (decoded - recorded)) for share in (0.1, 1.0))
        assert feature_loss(reference, reference) == 0
        assert 0 < feature_loss(reference, near) < feature_loss(reference, far)
