"""Phase `scalar` of a spectral autoencoder: where it starts, what its loss weighs, and what resuming keeps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.parts import SpectralConfig
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.spectral import SpectralAutoencoder
from uniaudio.stages.codec_phase import AdversarialSettings
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.testing import a_waveform
from uniaudio.training.checkpoint import TrainingState
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.spectral import envelope_error, patch_distance, start_as_components
from uniaudio.training.codec.train import train_codec
from uniaudio.training.run import Listeners

SMALL = SpectralConfig(latent_dim=32, dim=48, num_encoder_layers=1, num_decoder_layers=1, num_phase_rounds=4)


def new_codec(latent_dim: int = SMALL.latent_dim) -> ReasoningCodec:
    pytest.importorskip("transformers")
    debug = CodecConfig.preset("debug")
    flow = replace(debug.flow, latent_dim=latent_dim)
    return ReasoningCodec.create(replace(debug, scalar=replace(SMALL, latent_dim=latent_dim), flow=flow))


def clips(*frequencies: float) -> list[TrainingClip]:
    return [TrainingClip(samples=a_waveform(0.8, frequency=frequency)) for frequency in frequencies]


def test_the_loss_falls_and_nothing_but_the_autoencoder_moves() -> None:
    codec = new_codec(latent_dim=4)  # far fewer than the clips need
    before = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    phase = replace(codec_phase("scalar"), num_steps=40, num_unquantized_steps=10, num_clips=2, log_every=40)
    same = clips(150.0, 220.0, 300.0, 410.0)
    metrics = train_codec(codec, [phase], same, same)
    losses = [metric.value for metric in metrics if metric.name == "held_out_loss"]
    assert losses[-1] < 0.92 * losses[0]
    moved = {name.split(".")[0] for name, tensor in codec.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"scalar"}


def test_it_starts_as_the_linear_map_that_loses_least() -> None:
    """On patches of four numbers that stand out from noise, four latents and the way back lose nothing but noise and rounding."""
    generator = torch.Generator().manual_seed(0)
    basis_QP = torch.randn(4, 400, generator=generator)
    patches_NP = torch.randn(3_000, 4, generator=generator) @ basis_QP + 0.01 * torch.randn(
        3_000, 400, generator=generator
    )
    model = SpectralAutoencoder(replace(SMALL, latent_dim=4))
    start_as_components(model, patches_NP)
    found_1NP = model.passed(patches_NP[None])
    explained = 1 - (found_1NP[0] - patches_NP).var() / patches_NP.var()
    assert 0.97 < explained < 1
    latents_1NL = model.encoder.from_patches(patches_NP[None])
    assert (latents_1NL.std(dim=1) / latents_1NL.std()).log().abs().max() < 0.6


def test_what_is_loud_counts_most_and_padding_nothing() -> None:
    target_BTP = torch.full((1, 4, 10), -3.0)
    target_BTP[:, 0] = 0.0
    loud_BTP, quiet_BTP = target_BTP.clone(), target_BTP.clone()
    loud_BTP[:, 0] += 0.1
    quiet_BTP[:, 2] += 0.1
    loud, quiet = patch_distance(loud_BTP, target_BTP), patch_distance(quiet_BTP, target_BTP)
    assert loud > 10 * quiet > 0
    assert patch_distance(quiet_BTP, target_BTP, torch.tensor([[True, True, False, True]])) == 0
    assert torch.isclose(patch_distance(target_BTP + 0.1, target_BTP), torch.tensor(0.3), rtol=1e-4)


def test_a_spectral_autoencoder_has_no_discriminators() -> None:
    adversarial = AdversarialSettings(weight=1.0, channels=2)
    phase = replace(codec_phase("scalar"), num_steps=2, num_unquantized_steps=0, adversarial=adversarial)
    with pytest.raises(UsageError, match=r"`adversarial\.weight` must be 0 for a spectral autoencoder"):
        train_codec(new_codec(), [phase], clips(150.0), clips(260.0))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_that_goes_on_is_the_run_that_was_never_stopped(precision: str, tmp_path: Path) -> None:
    def keep(state: TrainingState, save: Callable[[Path], None]) -> None:
        if state.step == 2:
            save(tmp_path / "half")

    phase = replace(
        codec_phase("scalar"),
        num_steps=4,
        num_unquantized_steps=1,
        num_clips=2,
        checkpoint_every=2,
        precision=precision,
    )
    unbroken, resumed = new_codec(), new_codec()
    told = clips(150.0, 220.0), clips(260.0)
    metrics = train_codec(unbroken, [phase], *told, listeners=Listeners(on_checkpoint=keep))
    assert train_codec(resumed, [phase], *told, resume_from=tmp_path / "half") == metrics
    assert resumed.fingerprint == unbroken.fingerprint


def test_envelopes_err_more_the_less_is_understood() -> None:
    model, generator = SpectralAutoencoder(SMALL), torch.Generator().manual_seed(0)
    clean = torch.from_numpy(a_waveform(3.2, frequency=180.0)) * (1 + torch.sin(torch.arange(76_800) / 1_000))
    centers, target = model.encoder.patches.centers(), model.patches(clean[None])
    noises = [level * torch.randn(clean.shape, generator=generator) for level in (0.0, 0.01, 0.05, 0.2)]
    errors = [envelope_error(model.patches(clean[None] + noise), target, centers).item() for noise in noises]
    assert errors[0] == pytest.approx(0, abs=1e-4) and errors == sorted(errors) and 0.4 < errors[-1] < 1
    # Louder is as well understood.
    assert envelope_error(model.patches(0.5 * clean[None]), target, centers).item() < 0.01


def test_envelopes_of_a_short_or_a_silent_crop_do_no_harm() -> None:
    model = SpectralAutoencoder(SMALL)
    centers = model.encoder.patches.centers()
    for samples in (torch.randn(1, 4_800), torch.zeros(1, 38_400)):
        predicted = model.patches(samples).clone().requires_grad_()
        error = envelope_error(predicted, model.patches(samples), centers)
        error.backward()  # type: ignore[no-untyped-call]
        assert 0 <= error.item() <= 1 and predicted.grad is not None and predicted.grad.isfinite().all()
    # Where nothing is heard, nothing counts.
    half = torch.cat([torch.randn(1, 19_200), 1e-4 * torch.randn(1, 19_200)], dim=1)
    other = torch.cat([half[:, :19_200], 1e-4 * torch.randn(1, 19_200)], dim=1)
    assert envelope_error(model.patches(other), model.patches(half), centers).item() < 0.1
