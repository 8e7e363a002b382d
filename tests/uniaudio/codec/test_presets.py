"""Sizes of the codec that are trained here."""

import json
from dataclasses import replace

import pytest
import torch

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import LATENT_HOP, CodecConfig
from uniaudio.codec.encoders.frozen import empty_encoders
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_phases import codec_phase

TYPICAL_S = 4.0
"""Of a clip, where the phase takes whole clips."""


@pytest.mark.parametrize("size", ["debug", "starter"])
@pytest.mark.parametrize("phase", ["reasoning", "reconstruction"])
def test_an_entry_that_is_used_as_often_as_others_is_not_dead_in_any_quantizer_that_learns(
    size: str, phase: str
) -> None:
    """A threshold above the mean use of an entry in a batch would replace most of a codebook at every step."""
    config, settings = CodecConfig.preset(size), codec_phase(phase, size)
    hop = REASONING_HOP if phase == "reasoning" else RECONSTRUCTION_HOP
    frames = settings.num_clips * min(_crop_s(settings), TYPICAL_S) * 24_000 / hop
    learning = {"reasoning": (config.reasoning,), "reconstruction": (config.phone, config.music_group, config.acoustic)}
    for quantizer in learning[phase]:
        assert quantizer.dead_code_threshold < 0.5 * frames / quantizer.codebook_size


@pytest.fixture(scope="module")
def starter_codec() -> ReasoningCodec:
    """Shapes without weights; its imports take seconds, which are no test's."""
    pytest.importorskip("transformers")
    config = CodecConfig.preset("starter")
    with torch.device("meta"):
        return ReasoningCodec(config, empty_encoders(config))


def test_starter_is_small_enough_for_one_core_beside_whisper_base(starter_codec: ReasoningCodec) -> None:
    codec, config = starter_codec, starter_codec.config
    millions = {name: sum(one.numel() for one in part.parameters()) / 1e6 for name, part in codec.named_children()}
    assert 6 <= millions["flow"] <= 12 and millions["scalar"] < 5
    assert millions["reasoning"] + millions["reconstruction"] < 26
    assert codec.encoders.wavlm is None
    assert sum(one.numel() for one in codec.encoders.music.parameters()) < 5e6
    assert {config.reasoning_codebook_size, config.reconstruction_codebook_size} == {1024}


def _crop_s(phase: CodecPhase) -> float:
    return phase.crop_samples / 24_000


@pytest.mark.parametrize(("name", "size"), [("reconstruction", "debug"), ("decoder", "debug"), ("decoder", "starter")])
def test_a_window_of_decoding_is_no_longer_than_what_the_flow_saw_in_training(name: str, size: str) -> None:
    config = CodecConfig.preset(size)
    assert config.decode_window_latents * LATENT_HOP == codec_phase(name, size).crop_samples


def test_a_codec_from_before_latents_were_scaled_keeps_its_json_and_with_it_its_fingerprint() -> None:
    config = CodecConfig.preset("debug")
    fields = json.loads(config.to_json())
    assert config.flow.latent_scale == 1 and "latent_scale" not in fields["flow"]
    for scale in (1, 1.0):
        fields["flow"]["latent_scale"] = scale
        assert CodecConfig.from_json(json.dumps(fields)).to_json() == config.to_json()
    scaled = replace(config, flow=replace(config.flow, latent_scale=4.7))
    assert CodecConfig.from_json(scaled.to_json()) == scaled and scaled.to_json() != config.to_json()
