"""Phases of the released sizes: each finds its parts in the released codec, and takes a step on a small one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_phases import DEFAULT_PHASES, codec_phase, codec_phases
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.train import train_codec
from uniaudio.training.run import Listeners


@pytest.mark.parametrize("size", ["released", "released_1024"])
def test_every_phase_finds_the_parts_that_it_trains(size: str) -> None:
    pytest.importorskip("transformers")
    with torch.device("meta"):
        codec = ReasoningCodec(CodecConfig.preset(size), torch.nn.Module())
    parts = {name for name, _ in [*codec.named_modules(), *codec.named_parameters()]}
    for phase in codec_phases(DEFAULT_PHASES[size], size):
        assert set(phase.trains) <= parts, phase.name


def clips_of_noise() -> list[TrainingClip]:
    generator = np.random.default_rng(0)
    return [
        TrainingClip(
            samples=(0.1 * generator.standard_normal(19_200)).astype(np.float32),
            facts=ClipFacts(domain="speech", transcript=f"clip {number}"),
        )
        for number in range(4)
    ]


def test_every_phase_takes_a_step_on_a_small_codec() -> None:
    pytest.importorskip("transformers")
    clips = clips_of_noise()
    phases = [
        replace(phase, num_steps=2, num_unquantized_steps=0, checkpoint_every=2, num_clips=2, num_held_out=1)
        for phase in codec_phases(DEFAULT_PHASES["released"], "released")
    ]
    phases = [
        replace(phase, grpo=replace(phase.grpo, num_rollouts=2, max_answer_tokens=8, num_frozen_steps=0))
        for phase in phases
    ]
    metrics = train_codec(ReasoningCodec.create(CodecConfig.preset("debug")), phases, clips[1:], clips[:1])
    assert {metric.phase for metric in metrics} == set(DEFAULT_PHASES["released"])
    assert all(np.isfinite(metric.value) for metric in metrics)


@pytest.mark.parametrize(("size", "mode"), [("debug", 2), ("released", 0)])
def test_a_phase_has_deterministic_kernels_at_small_sizes_alone(size: str, mode: int) -> None:
    pytest.importorskip("transformers")
    phase = replace(
        codec_phase("scalar", size),
        num_steps=1,
        num_unquantized_steps=0,
        checkpoint_every=1,
        num_clips=1,
        num_held_out=1,
    )
    modes: set[int] = set()
    listeners = Listeners(on_progress=lambda _: modes.add(torch.get_deterministic_debug_mode()))
    clips = clips_of_noise()
    train_codec(ReasoningCodec.create(CodecConfig.preset("debug")), [phase], clips[1:], clips[:1], listeners=listeners)
    assert modes == {mode}


def test_a_phase_is_known_as_before_it_had_a_choice_of_kernels() -> None:
    phase = codec_phase("scalar")
    free = replace(phase, deterministic=False)
    assert "deterministic" not in phase.to_dict()
    assert free.to_dict()["deterministic"] is False
    assert [CodecPhase.from_dict(one.to_dict()) for one in (phase, free)] == [phase, free]
