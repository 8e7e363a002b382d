"""Phase `scalar` of a spectral autoencoder: training lowers the loss, and says nothing of the waveform's phase."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.parts import SpectralConfig
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.codec_phase import AdversarialSettings
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.testing import a_waveform
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.losses import phase_free_loss, waveform_loss
from uniaudio.training.codec.train import train_codec

SMALL = SpectralConfig(
    latent_dim=32, dim=48, frame_dim=32, num_encoder_layers=1, num_latent_layers=1, num_frame_layers=1
)


def new_codec() -> ReasoningCodec:
    pytest.importorskip("transformers")
    return ReasoningCodec.create(replace(CodecConfig.preset("debug"), scalar=SMALL))


def clips(*frequencies: float) -> list[TrainingClip]:
    return [TrainingClip(samples=a_waveform(0.8, frequency=frequency)) for frequency in frequencies]


def test_the_loss_falls_and_nothing_but_the_autoencoder_moves() -> None:
    codec = new_codec()
    before = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    phase = replace(codec_phase("scalar"), num_steps=40, num_unquantized_steps=10, num_clips=2, log_every=40)
    metrics = train_codec(codec, [phase], clips(150.0, 220.0, 300.0, 410.0), clips(260.0))
    losses = [metric.value for metric in metrics if metric.name == "held_out_loss"]
    assert losses[-1] < 0.8 * losses[0]
    moved = {name.split(".")[0] for name, tensor in codec.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"scalar"}


def test_the_discriminators_can_join() -> None:
    adversarial = AdversarialSettings(weight=1.0, feature_weight=2.0, channels=2, num_spectral_steps=1)
    phase = replace(
        codec_phase("scalar"), num_steps=2, num_unquantized_steps=0, num_clips=2, log_every=2, adversarial=adversarial
    )
    metrics = train_codec(new_codec(), [phase], clips(150.0, 220.0), clips(260.0))
    last = {metric.name: metric.value for metric in metrics if metric.step == 2}
    assert {"spectral", "adversarial", "features", "discriminator"} <= last.keys()
    assert np.isfinite(list(last.values())).all()


def test_a_waveform_upside_down_costs_nothing_in_the_loss_without_phase() -> None:
    waveform_1N = torch.from_numpy(a_waveform(0.4))[None]
    assert phase_free_loss(-waveform_1N, waveform_1N) < 1e-5 < waveform_loss(-waveform_1N, waveform_1N)
    assert phase_free_loss(0.5 * waveform_1N, waveform_1N) > 0.5
