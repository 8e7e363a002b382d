"""A flow over normalized latents that finds what is beside a regressed mean."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.parts import FlowConfig
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.flow import FlowTransformer
from uniaudio.codec.flow_matching import GENERATE, SIGMA_MIN, FlowMatching
from uniaudio.testing import a_waveform

CONFIG = FlowConfig(
    latent_dim=4, condition_dim=6, dim=8, num_layers=1, num_heads=2, time_dim=8, normalizes_latents=True,
    num_mean_layers=1, mean_dim=8,
)  # fmt: skip


class TransformerThatSays(nn.Module):
    """A velocity that was decided before; keeps what it was asked."""

    def __init__(self, config: FlowConfig, velocity_BTL: Tensor) -> None:
        super().__init__()
        self.config, self.velocity_BTL = config, velocity_BTL
        self.asked: list[Tensor] = []

    def forward(self, x_BTC: Tensor, time_B: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        self.asked.append(x_BTC)
        return self.velocity_BTL


def new_flow(config: FlowConfig = CONFIG) -> FlowMatching:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        flow = FlowMatching(FlowTransformer(config)).eval()
        if config.normalizes_latents:
            flow.scaling.fit(torch.randn(500, 4) * torch.tensor([0.1, 0.3, 0.5, 0.0]) + 0.2)
    return flow


def test_every_channel_is_normalized_and_comes_back() -> None:
    flow, generator = new_flow(), torch.Generator().manual_seed(1)
    latents = torch.randn(9, 1000, 4, generator=generator) * torch.tensor([0.1, 0.3, 0.5, 0.0]) + 0.2
    scaled = flow.scaling(latents)
    assert torch.allclose(scaled.mean(dim=(0, 1))[:3], torch.zeros(3), atol=0.1)
    assert torch.allclose(scaled.std(dim=(0, 1))[:3], torch.ones(3), atol=0.1)
    assert scaled[..., 3].abs().max() < 1e-3  # that never moves
    assert torch.allclose(flow.scaling.undo(scaled), latents, atol=1e-6)
    assert {"scaling.mean_L", "scaling.deviation_L"} <= flow.state_dict().keys()
    assert not any(name.startswith(("scaling", "mean")) for name in new_flow(_at_rest()).state_dict())


def test_the_mean_is_one_for_each_frame_of_codes() -> None:
    flow = new_flow()
    assert flow.mean is not None
    frames = torch.randn(2, 5, 6)
    told = frames.repeat_interleave(2, dim=1)
    with torch.no_grad():
        mean = flow.mean(told)
        assert mean.shape == (2, 10, 4) and not torch.equal(mean[:, 0], mean[:, 1])
        assert torch.equal(flow.mean(told[:, :9]), mean[:, :9])


def test_a_flow_that_finds_nothing_beside_the_mean_gives_the_mean() -> None:
    flow, condition = new_flow(), torch.randn(2, 5, 6).repeat_interleave(2, dim=1)
    noise, context = torch.randn(2, 10, 4), torch.randn(2, 3, 4)
    assert flow.mean is not None
    with torch.no_grad():
        mean = flow.mean(condition)
    flow.transformer = TransformerThatSays(CONFIG, -noise)
    latents = flow.sample(condition, num_steps=1, guidance=1.0, noise_BTL=noise, context_BPL=context)
    assert torch.allclose(latents[:, 3:], flow.scaling.undo(mean)[:, 3:], atol=1e-6)
    assert torch.equal(latents[:, :3], context)
    shown = flow.transformer.asked[0][:, :3, 4:8]
    assert torch.allclose(shown, flow.scaling(context) - mean[:, :3], atol=1e-6)
    alone = flow.sample(condition, num_steps=0, noise_BTL=noise, context_BPL=context)
    assert torch.equal(alone[:, 3:], flow.scaling.undo(mean)[:, 3:]) and torch.equal(alone[:, :3], context)


def test_no_step_is_for_codecs_with_a_mean() -> None:
    pytest.importorskip("transformers")
    debug = CodecConfig.preset("debug")
    codec = ReasoningCodec.create(replace(debug, flow=replace(debug.flow, num_mean_layers=1, mean_dim=16)))
    (codes,) = codec.encode([a_waveform(0.5)])
    first, second = (codec.decode([codes], steps=0, seed=seed)[0] for seed in (0, 1))
    assert np.array_equal(first, second) and first.shape == (12_000,)
    assert not np.array_equal(first, codec.decode([codes], steps=1)[0])
    with pytest.raises(UsageError, match="1 or more, but is 0: this codec regresses no mean"):
        ReasoningCodec.create(debug).decode([codes], steps=0)


def test_a_codec_takes_the_steps_of_its_config_where_the_caller_names_none() -> None:
    debug = CodecConfig.preset("debug")
    assert "decode_steps" not in debug.to_dict() and debug.decode_steps == 10
    with_mean = replace(debug, flow=replace(debug.flow, num_mean_layers=1, mean_dim=8, normalizes_latents=True))
    for num_steps in (0, 2):
        config = replace(with_mean, decode_steps=num_steps)
        assert CodecConfig.from_json(config.to_json()) == config
        codec = ReasoningCodec.create(config)
        (codes,) = codec.encode([a_waveform(0.2)])
        (decoded,) = codec.decode([codes])
        assert np.array_equal(decoded, codec.decode([codes], steps=num_steps)[0])
        assert not np.array_equal(decoded, codec.decode([codes], steps=num_steps + 1)[0])


def test_the_loss_is_0_where_the_mean_is_right_and_the_flow_takes_the_noise_away() -> None:
    flow, mask = new_flow(), torch.full((2, 10), GENERATE)
    latents, noise, condition = torch.randn(2, 10, 4), torch.randn(2, 10, 4), torch.randn(2, 10, 6)
    flow.transformer = TransformerThatSays(CONFIG, -(1 - SIGMA_MIN) * noise)
    drawn = {"time_B": torch.rand(2), "noise_BTL": noise}
    right = flow.loss(latents, condition, mask, mean_BTL=flow.scaling(latents), **drawn)
    assert right < 1e-10 < flow.loss(latents, condition, mask, mean_BTL=torch.zeros_like(latents), **drawn)


def test_configs_from_before_it_keep_their_json() -> None:
    config = CodecConfig.preset("debug")
    fields = json.loads(config.to_json())
    assert "num_mel_bands" not in fields
    assert not {"normalizes_latents", "num_mean_layers", "mean_dim"} & fields["flow"].keys()
    starter = CodecConfig.preset("starter")
    assert starter.flow.normalizes_latents and starter.flow.num_mean_layers and starter.num_mel_bands
    assert CodecConfig.from_json(starter.to_json()) == starter


def test_latents_are_scaled_in_one_way() -> None:
    with pytest.raises(UsageError, match=r"`latent_scale` must be 1 where latents are normalized, but is 2\.0"):
        replace(CONFIG, latent_scale=2.0)


def test_every_group_hears_mel_and_the_codes_keep_their_contract() -> None:
    pytest.importorskip("transformers")
    plain = CodecConfig.preset("debug")
    codec = ReasoningCodec.create(replace(plain, num_mel_bands=20))
    clips = [a_waveform(0.9), a_waveform(1.7, frequency=300.0)]
    features = codec.encoders(torch.from_numpy(a_waveform(0.8))[None])
    assert features.mel.shape == (1, 10, 160)
    assert ReasoningCodec.create(plain).encoders(torch.from_numpy(a_waveform(0.8))[None]).mel.shape == (1, 10, 0)
    reasoning = torch.zeros(1, 4, plain.dim)
    heard, deaf = (
        codec.reconstruction.modulate(told, reasoning)
        for told in (features, features._replace(mel=torch.zeros_like(features.mel)))
    )
    assert {group for group in heard if not torch.equal(heard[group], deaf[group])} == {"phone", "music", "acoustic"}
    together, alone = codec.encode(clips), [codec.encode([clip])[0] for clip in clips]
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.reconstruction, other.reconstruction)


def _at_rest() -> FlowConfig:
    return replace(CONFIG, normalizes_latents=False, num_mean_layers=0)


def test_phones_of_whisper_are_the_mean_of_its_layers_and_need_no_wavlm(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    plain = CodecConfig.preset("debug")
    codec = ReasoningCodec.create(replace(plain, phone_layers=(0, 2)))
    assert codec.encoders.wavlm is None and not any(name.startswith("encoders.wavlm") for name in codec.state_dict())
    seen: list[torch.Tensor] = []
    model = codec.encoders.whisper.model
    hooks = [model.layers[0].register_forward_pre_hook(lambda _, told: seen.append(told[0]))]
    hooks.append(model.layer_norm.register_forward_pre_hook(lambda _, told: seen.append(told[0])))
    features = codec.encoders(torch.from_numpy(a_waveform(0.8))[None])
    for hook in hooks:
        hook.remove()
    assert torch.allclose(features.phones, (seen[0] + seen[1]) / 2) and features.phones.shape == (
        1,
        40,
        plain.whisper.dim,
    )
    codec.save(tmp_path)
    loaded = ReasoningCodec.load(tmp_path)
    assert loaded.config == codec.config and loaded.fingerprint == codec.fingerprint
    with pytest.raises(UsageError, match="`phone_layers` must be 0 to 2, Whisper's layers, but are"):
        replace(plain, phone_layers=(3,))
