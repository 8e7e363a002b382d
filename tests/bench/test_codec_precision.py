"""A step of each phase of codec training with products in bfloat16, against float32: CPU-seconds of one thread, the fastest of
three turns, and the loss of both. Only where the processor multiplies bfloat16.

UNIAUDIO_BENCH_SIZES=starter pytest -m bench -s tests/bench/test_codec_precision.py
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.encoders.frozen import random_encoders
from uniaudio.products import EveryLinear
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.training.codec.clips import ClipSet, FrozenCache, TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.objectives import build_losses
from uniaudio.training.codec.train import PhaseObjective
from uniaudio.training.processes import reproducible

pytest.importorskip("transformers")
pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
SIZES = os.environ.get("UNIAUDIO_BENCH_SIZES", "debug,starter").split(",")
LATE_STEP = 100_000
"""Behind every phase's first steps, which leave codebooks out."""


def multiplies_bfloat16() -> bool:
    file = Path("/proc/cpuinfo")
    flags = set(file.read_text().split()) if file.is_file() else set()
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def some_clips(num_clips: int) -> list[TrainingClip]:
    rng = np.random.default_rng(0)
    return [
        TrainingClip(
            samples=(0.1 * rng.standard_normal(8 * 24_000)).astype(np.float32),
            text=f"words of clip {number}",
            facts=ClipFacts(domain="speech", transcript=f"words of clip {number}"),
        )
        for number in range(num_clips)
    ]


@pytest.mark.parametrize("name", ["scalar", "reasoning", "reconstruction", "decoder"])
@pytest.mark.parametrize("size", SIZES)
def test_a_step_in_bfloat16_against_float32(size: str, name: str) -> None:
    if not multiplies_bfloat16():
        pytest.skip("this processor does not multiply bfloat16")
    config = replace(CodecConfig.preset(size), encoders="random")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        codec = ReasoningCodec(config, random_encoders(config)).eval()
    phase = codec_phase(name, size)
    clips = ClipSet(codec, some_clips(max(16, phase.num_clips)), FrozenCache())
    best, losses = dict[str, float](), dict[str, float]()
    with reproducible(1), EveryLinear():
        losses_of = build_losses(codec, phase, clips, clips, None)
        for turn in range(3):
            for precision in ("float32", "bfloat16"):
                objective = PhaseObjective(codec, replace(phase, precision=precision), losses_of)
                started = time.process_time()
                for loss in objective.losses(LATE_STEP):
                    loss.backward()
                taken = time.process_time() - started
                # What frozen parts make of the clips is kept from the first turn on.
                best[precision] = taken if turn == 0 else min(best[precision], taken)
                losses[precision] = objective.values()["loss"]
                codec.zero_grad(set_to_none=True)
    ratio = best["bfloat16"] / best["float32"]
    print(
        f"\n{size} {name}: {best['bfloat16']:.2f} CPU-s a step, float32 {best['float32']:.2f}: ratio {ratio:.2f}; {losses}"
    )
