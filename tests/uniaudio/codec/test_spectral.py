"""The spectral autoencoder: exact lengths, a bounded reach, windows without seams, and one interface with the scalar one."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio.codec.autoencoder import Autoencoder, round_latents
from uniaudio.codec.codec import ReasoningCodec, build_autoencoder
from uniaudio.codec.config.parts import SpectralConfig
from uniaudio.codec.config.presets import LATENT_HOP, CodecConfig
from uniaudio.codec.decoding import DecodeSettings, decode_pieces, draw_latents
from uniaudio.codec.patches import MelPatches, log_mel_of
from uniaudio.codec.spectral import PhaseSearch, SpectralAutoencoder
from uniaudio.testing import a_waveform

SMALL = SpectralConfig(
    latent_dim=32, dim=24, num_encoder_layers=1, num_decoder_layers=2, kernel_size=5, num_phase_rounds=4
)


def seeded(config: SpectralConfig) -> SpectralAutoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SpectralAutoencoder(config).eval()


def spectral_debug() -> CodecConfig:
    return replace(CodecConfig.preset("debug"), scalar=SMALL)


@pytest.fixture(scope="module")
def codec() -> ReasoningCodec:
    pytest.importorskip("transformers")
    return ReasoningCodec.create(spectral_debug())


@pytest.mark.parametrize("name", ["debug", "starter", "spectral"])
def test_both_autoencoders_keep_one_interface(name: str) -> None:
    config = SMALL if name == "spectral" else CodecConfig.preset(name).scalar
    model = build_autoencoder(config).eval()
    assert isinstance(model, Autoencoder)
    waveform_BN = torch.from_numpy(np.stack([a_waveform(0.4), a_waveform(0.4, frequency=300.0)]))
    with torch.no_grad():
        latents_BTL = model.encode(waveform_BN)
        assert latents_BTL.shape == (2, 10, config.latent_dim) and latents_BTL.abs().max() <= 1
        assert torch.equal(model(waveform_BN), model.decode(round_latents(latents_BTL)))
        assert model(waveform_BN).shape == waveform_BN.shape
        moved = model.unrounded(waveform_BN, torch.ones_like(latents_BTL))
        assert torch.allclose(moved, model.decoder((latents_BTL + 1 / 18).transpose(1, 2)), atol=1e-6)
    left, right = model.reach
    assert left > 0 and right > 0


@pytest.mark.parametrize("num_latents", [1, 2, 3, 7, 40])
@pytest.mark.parametrize(
    "config",
    [SMALL, replace(SMALL, window_hops=3), replace(SMALL, frame_hop=160, frames_per_latent=6), replace(SMALL, window_hops=6)],
)  # fmt: skip
def test_any_number_of_latents_is_exactly_as_many_hops(config: SpectralConfig, num_latents: int) -> None:
    model = seeded(config)
    with torch.no_grad():
        assert model.decode(torch.zeros(2, num_latents, 32)).shape == (2, num_latents * LATENT_HOP)
        assert model.encode(torch.zeros(2, num_latents * LATENT_HOP)).shape == (2, num_latents, 32)


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, window_hops=6, num_decoder_layers=3)])
def test_the_decoder_reaches_no_further_than_it_says(config: SpectralConfig) -> None:
    decoder, (left, right) = seeded(config).decoder.double(), SpectralAutoencoder(config).reach
    latents = torch.randn(1, 32, left + right + 9, dtype=torch.double, requires_grad=True)
    frame = left + 4
    samples = decoder(latents)[0, frame * LATENT_HOP : (frame + 1) * LATENT_HOP]
    (gradient,) = torch.autograd.grad(samples.abs().sum(), latents)
    reached = gradient[0].abs().sum(dim=0).nonzero()[:, 0]
    assert frame - left <= reached[0] <= frame - left + 1
    assert frame + right - 1 <= reached[-1] <= frame + right


def test_windows_of_decoding_leave_no_seam(codec: ReasoningCodec) -> None:
    windowed = replace(codec.config, decode_window_latents=100, context_latents=40)
    codec = ReasoningCodec.create(windowed)
    codes = torch.from_numpy(np.random.default_rng(0).integers(128, size=(1, 200, 8)))
    settings = DecodeSettings(steps=1, guidance=1.0)
    pieces = [piece for piece in decode_pieces(codec, [codes], settings) if piece.shape[1]]
    latents = torch.cat([drawn for drawn, _ in draw_latents(codec, [codes], settings)], dim=1)
    with torch.no_grad():
        whole = codec.scalar.decode(latents)
    assert len(pieces) > 3
    joined = torch.cat(pieces, dim=1)
    assert joined.shape == whole.shape == (1, 400 * LATENT_HOP)
    assert (joined - whole).abs().max() <= 1e-5 * whole.abs().max()


def test_the_search_finds_a_waveform_that_has_the_magnitudes() -> None:
    """The further it searches, the nearer; told of a waveform's own mel magnitudes, it ends within an eighth of a neper."""
    config = replace(SMALL, num_bands=100)
    waveform_1N = torch.from_numpy(a_waveform(0.8))[None]
    patches = SpectralAutoencoder(config).encoder.patches
    told_1tM = log_mel_of(patches(waveform_1N), 100)
    loud = told_1tM > told_1tM.max() - 4
    differences = []
    for num_rounds in (1, 8, 32):
        search = PhaseSearch(replace(config, num_phase_rounds=num_rounds))
        found_1tM = log_mel_of(patches(search(told_1tM.exp())), 100)
        differences.append(float((found_1tM - told_1tM)[loud].abs().mean()))
    assert differences[0] > 2 * differences[1] > 3 * differences[2] and differences[2] < 0.125


def test_the_search_adds_windows_up_to_the_audio_they_are_of() -> None:
    search = PhaseSearch(SMALL)
    audio_1N = torch.from_numpy(a_waveform(0.4))[None]
    assert torch.allclose(search._synthesis(search._analysis(audio_1N)), audio_1N, atol=1e-5)


def test_a_mel_patch_hears_its_own_frames_and_half_a_window_beside_them() -> None:
    patches = MelPatches(20, 240, 4)
    waveform_1N = torch.from_numpy(a_waveform(0.4))[None]
    changed_1N = waveform_1N.clone()
    changed_1N[:, 4_800:5_760] += 0.1
    differs = (patches(waveform_1N) != patches(changed_1N))[0].any(dim=1).nonzero()[:, 0].tolist()
    assert differs == [4, 5, 6] and patches(waveform_1N).shape == (1, 10, 80)


def test_a_codec_with_it_survives_its_folder(codec: ReasoningCodec, tmp_path: Path) -> None:
    codec.save(tmp_path)
    loaded = ReasoningCodec.load(tmp_path)
    assert loaded.config == codec.config and isinstance(loaded.config.scalar, SpectralConfig)
    assert isinstance(loaded.scalar, SpectralAutoencoder) and loaded.fingerprint == codec.fingerprint
    clip = a_waveform(1.0)
    (codes,), (again,) = codec.encode([clip]), loaded.encode([clip])
    assert np.array_equal(codes.reconstruction, again.reconstruction)
    assert np.array_equal(codec.decode([codes], steps=1)[0], loaded.decode([again], steps=1)[0])


def test_what_no_autoencoder_can_be_is_an_error_that_names_the_field() -> None:
    for change, message in (
        ({"kernel_size": 4}, "`kernel_size` must be odd, but is 4"),
        ({"window_hops": 1}, "`window_hops` must be 2 or more"),
        ({"dim": 0}, "`dim` must be a whole number from 1"),
    ):
        with pytest.raises(UsageError, match=message):
            replace(SMALL, **change)
    with pytest.raises(UsageError, match="`scalar` must have a hop of 960 samples, but has 480"):
        replace(CodecConfig.preset("debug"), scalar=replace(SMALL, frames_per_latent=2))
    with pytest.raises(UsageError, match="`scalar` must be a ScalarConfig or a SpectralConfig, but is 3"):
        replace(CodecConfig.preset("debug"), scalar=3)
    fields = json.loads(spectral_debug().to_json())
    assert CodecConfig.from_json(json.dumps(fields)) == spectral_debug()
    fields["scalar"]["strides"] = [4]
    with pytest.raises(DataError, match="`scalar` must have the fields of SpectralConfig, but has strides"):
        CodecConfig.from_json(json.dumps(fields))
    fields["scalar"] = asdict(SMALL) | {"num_bands": "all"}
    with pytest.raises(DataError, match=r"`scalar\.num_bands` must be a whole number"):
        CodecConfig.from_json(json.dumps(fields))
