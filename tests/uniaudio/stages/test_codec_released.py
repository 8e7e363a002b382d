"""Phases of the released sizes: each finds its parts in the released codec, and takes a step on a small one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.codec_phases import DEFAULT_PHASES, codec_phases
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.train import train_codec


@pytest.mark.parametrize("size", ["released", "released_1024"])
def test_every_phase_finds_the_parts_that_it_trains(size: str) -> None:
    pytest.importorskip("transformers")
    with torch.device("meta"):
        codec = ReasoningCodec(CodecConfig.preset(size), torch.nn.Module())
    parts = {name for name, _ in [*codec.named_modules(), *codec.named_parameters()]}
    for phase in codec_phases(DEFAULT_PHASES[size], size):
        assert set(phase.trains) <= parts, phase.name


def test_every_phase_takes_a_step_on_a_small_codec() -> None:
    pytest.importorskip("transformers")
    generator = np.random.default_rng(0)
    clips = [
        TrainingClip(
            samples=(0.1 * generator.standard_normal(19_200)).astype(np.float32),
            facts=ClipFacts(domain="speech", transcript=f"clip {number}"),
        )
        for number in range(4)
    ]
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
