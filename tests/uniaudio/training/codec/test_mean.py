"""Phase `reconstruction` of a codec whose flow has a mean: statistics of the latents, the mean's loss, and what resuming
keeps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.parts import SpectralConfig
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.testing import a_waveform
from uniaudio.training.checkpoint import TrainingState
from uniaudio.training.codec.clips import ClipSet, TrainingClip
from uniaudio.training.codec.reconstruction import fit_scaling
from uniaudio.training.codec.train import train_codec
from uniaudio.training.run import Listeners

SCALAR = SpectralConfig(latent_dim=32, dim=48, num_encoder_layers=1, num_decoder_layers=1, num_phase_rounds=4)
CLIPS = [TrainingClip(samples=a_waveform(1.2, frequency=frequency)) for frequency in (150.0, 220.0, 300.0, 410.0)]
HELD_OUT = [TrainingClip(samples=a_waveform(0.9, frequency=260.0))]


def new_codec() -> ReasoningCodec:
    pytest.importorskip("transformers")
    debug = CodecConfig.preset("debug")
    flow = replace(debug.flow, normalizes_latents=True, num_mean_layers=1, mean_dim=48, num_layers=1)
    return ReasoningCodec.create(replace(debug, scalar=SCALAR, flow=flow, num_mel_bands=20))


def phase(name: str, num_steps: int) -> CodecPhase:
    return replace(
        codec_phase(name), num_steps=num_steps, num_unquantized_steps=num_steps // 2 if name == "reconstruction" else 0,
        num_clips=2, crop_samples=28_800, log_every=num_steps, checkpoint_every=num_steps // 2,
    )  # fmt: skip


def test_the_statistics_are_those_of_the_latents_and_the_next_phase_keeps_them() -> None:
    codec = new_codec()
    train_codec(codec, [phase("reconstruction", 2)], CLIPS, HELD_OUT)
    fitted = codec.flow.scaling.mean_L.clone(), codec.flow.scaling.deviation_L.clone()
    clips = ClipSet(codec, CLIPS)
    with torch.no_grad():
        latents = torch.cat([codec.scalar.encode(clips.waveform(index)[None])[0, :30] for index in range(len(CLIPS))])
    assert torch.allclose(fitted[0], latents.mean(dim=0), atol=1e-6)
    assert torch.allclose(fitted[1], latents.std(dim=0).clamp(min=1e-3), atol=1e-6)
    train_codec(codec, [phase("decoder", 2)], CLIPS[:1], HELD_OUT)
    assert torch.equal(codec.flow.scaling.mean_L, fitted[0])
    fit_scaling(codec, ClipSet(codec, CLIPS[:1]))
    assert not torch.equal(codec.flow.scaling.mean_L, fitted[0])


def test_the_mean_learns_and_the_codes_learn_from_it() -> None:
    codec = new_codec()
    before = codec.reconstruction.fuse["acoustic"].weight.clone()
    metrics = train_codec(codec, [replace(phase("reconstruction", 40), log_every=20)], CLIPS, HELD_OUT)
    means = [metric.value for metric in metrics if metric.name == "mean"]
    assert means[-1] < 0.9 * means[0]
    assert not torch.equal(codec.reconstruction.fuse["acoustic"].weight, before)
    (codes,) = codec.encode([HELD_OUT[0].samples])
    assert codec.decode([codes], steps=1, guidance=1.0)[0].shape == HELD_OUT[0].samples.shape


@pytest.mark.parametrize("name", ["reconstruction", "decoder"])
def test_a_run_that_goes_on_is_the_run_that_was_never_stopped(name: str, tmp_path: Path) -> None:
    def keep(state: TrainingState, save: Callable[[Path], None]) -> None:
        if state.step == 2:
            save(tmp_path / "half")

    unbroken, resumed = new_codec(), new_codec()
    metrics = train_codec(unbroken, [phase(name, 4)], CLIPS, HELD_OUT, listeners=Listeners(on_checkpoint=keep))
    assert train_codec(resumed, [phase(name, 4)], CLIPS, HELD_OUT, resume_from=tmp_path / "half") == metrics
    assert resumed.fingerprint == unbroken.fingerprint
