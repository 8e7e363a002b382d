"""How phase `scalar` starts: the autoencoder as a transform that hears the lowest frequencies before its first step."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from uniaudio.codec.autoencoder import round_latents
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.parts import ScalarConfig
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.scalar import ScalarAutoencoder
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.testing import a_waveform
from uniaudio.training.codec import scalar
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.scalar_start import start_as_transform
from uniaudio.training.codec.train import train_codec

LARGER = ScalarConfig(
    latent_dim=64,
    initial_channels=16,
    strides=(4, 5, 6, 4),
    down_kernel_sizes=(8, 10, 12, 8),
    up_kernel_sizes=(8, 12, 10, 8),
    pool_samples=2,
)


@pytest.fixture(params=["debug", "larger"])
def autoencoder(request: pytest.FixtureRequest) -> ScalarAutoencoder:
    config = LARGER if request.param == "larger" else CodecConfig.preset("debug").scalar
    assert isinstance(config, ScalarConfig)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ScalarAutoencoder(config)


def low(seed: int, below_hz: float = 250.0) -> torch.Tensor:
    """0.8 s of noise without what the transform cannot keep."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(19_200))
    spectrum[np.fft.rfftfreq(19_200, 1 / 24_000) > below_hz] = 0
    samples = np.fft.irfft(spectrum)
    return torch.from_numpy((0.05 * samples / samples.std()).astype(np.float32))[None]


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one * other).sum() / (one.norm() * other.norm()))


def test_fresh_weights_hear_nothing_and_the_transform_hears_low_frequencies(autoencoder: ScalarAutoencoder) -> None:
    with torch.no_grad():
        assert abs(correlation(autoencoder(low(1)), low(1))) < 0.2
        start_as_transform(autoencoder, low(0))
        assert correlation(autoencoder(low(1)), low(1)) > 0.9


def test_no_latent_is_constant_or_saturated(autoencoder: ScalarAutoencoder) -> None:
    waveform = torch.from_numpy(a_waveform(0.8))[None]
    start_as_transform(autoencoder, waveform)
    with torch.no_grad():
        latents = autoencoder.encode(waveform)
    assert round_latents(latents).std(dim=1).min() > 0.2
    assert (latents.abs() > 0.99).float().mean() < 0.1


def test_every_weight_gets_a_finite_gradient_after_the_start(autoencoder: ScalarAutoencoder) -> None:
    start_as_transform(autoencoder, low(0))
    (autoencoder(low(1)) - low(1)).square().sum().backward()
    assert all(torch.isfinite(one.grad).all() for one in autoencoder.parameters() if one.grad is not None)
    assert autoencoder.encoder.convolution_in.bias.grad is not None


def test_noise_moves_a_latent_as_far_as_rounding_may(autoencoder: ScalarAutoencoder) -> None:
    seen: list[torch.Tensor] = []
    autoencoder.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    latents = autoencoder.encode(low(0))
    autoencoder.unrounded(low(0), torch.ones_like(latents))
    assert torch.allclose(seen[0].transpose(1, 2) - latents, torch.tensor(1 / 18), atol=1e-6)
    assert (round_latents(latents) - latents).abs().max() <= 1 / 18 + 1e-6


def test_only_a_phase_that_starts_without_rounding_starts_as_the_transform(
    new_codec: Callable[[], ReasoningCodec], train_clips: list[TrainingClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    monkeypatch.setattr(scalar, "start_as_transform", lambda model, waveform: started.append(len(waveform)))
    for num_unquantized_steps in (0, 1):
        phase = replace(
            codec_phase("scalar"), num_steps=2, num_clips=2, num_held_out=1,
            num_unquantized_steps=num_unquantized_steps,
        )  # fmt: skip
        train_codec(new_codec(), [phase], train_clips[:4], train_clips[4:5])
    assert started == [2]
