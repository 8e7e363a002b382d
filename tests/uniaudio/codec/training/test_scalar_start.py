"""How phase `scalar` starts: with latents that rounding leaves different from each other."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config import CodecConfig
from uniaudio.codec.scalar import ScalarAutoencoder, round_latents
from uniaudio.codec.training.clips import TrainingClip
from uniaudio.codec.training.train import train_codec
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.testing import a_waveform


@pytest.fixture
def autoencoder() -> ScalarAutoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ScalarAutoencoder(CodecConfig.preset("debug").scalar)


def test_fresh_latents_nearly_all_round_to_one_level_and_spread_ones_do_not(autoencoder: ScalarAutoencoder) -> None:
    waveform = torch.from_numpy(a_waveform(0.8))[None]
    with torch.no_grad():
        fresh = round_latents(autoencoder.encode(waveform)).std(dim=1)
        autoencoder.spread(waveform)
        latents = autoencoder.encode(waveform)
    assert fresh.median() < 0.06
    assert round_latents(latents).std(dim=1).min() > 0.3
    assert latents.mean(dim=1).abs().max() < 0.2


def test_noise_moves_a_latent_as_far_as_rounding_may(autoencoder: ScalarAutoencoder) -> None:
    waveform = torch.from_numpy(a_waveform(0.8))[None]
    seen: list[torch.Tensor] = []
    autoencoder.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    latents = autoencoder.encode(waveform)
    autoencoder.unrounded(waveform, torch.ones_like(latents))
    assert torch.allclose(seen[0].transpose(1, 2) - latents, torch.tensor(1 / 18), atol=1e-6)
    assert (round_latents(latents) - latents).abs().max() <= 1 / 18 + 1e-6


def test_a_phase_that_starts_without_rounding_spreads_the_latents_once(
    new_codec: Callable[[], ReasoningCodec], train_clips: list[TrainingClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    spread: list[int] = []
    monkeypatch.setattr(ScalarAutoencoder, "spread", lambda self, waveform: spread.append(len(waveform)))
    for num_unquantized_steps in (0, 1):
        phase = replace(
            codec_phase("scalar"), num_steps=2, num_clips=2, num_held_out=1,
            num_unquantized_steps=num_unquantized_steps,
        )  # fmt: skip
        train_codec(new_codec(), [phase], train_clips[:4], train_clips[4:5])
    assert spread == [2]
