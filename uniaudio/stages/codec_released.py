"""The phases at the released sizes, beside pretrained encoders: what the authors' trainer states, and a choice of ours where it is silent.

phase           stated                                                               chosen
scalar          nothing: its weights are published, its training is not              all of it
reasoning       parts and loss                                                       rates, batch, steps, the start without codebooks
grpo            nothing but its place                                                all of it (`codec2_grpo`)
reconstruction  losses, 16 clips on each of 4 GPUs, 12 s, rate 1e-4, clipping at 2   steps
decoder         that there is one                                                    half of the steps, a quarter of the rate
"""

from collections.abc import Callable
from dataclasses import replace

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.stages.codec2_grpo import TRAINED_PARTS
from uniaudio.stages.codec_phase import TASKS, CodecPhase, GrpoSettings

_LONG, _SEGMENT = 30 * SAMPLE_RATE, 12 * SAMPLE_RATE


def _scalar() -> CodecPhase:
    return CodecPhase(
        name="scalar",
        trains=("scalar",),
        num_steps=500_000,
        num_unquantized_steps=50_000,
        num_clips=32,
        crop_samples=2 * 19_200,
        learning_rate=2e-4,
        weight_decay=0.0,
        betas=(0.8, 0.99),
        checkpoint_every=5_000,
        log_every=100,
        deterministic=False,
        num_held_out=64,
    )


def _reasoning() -> CodecPhase:
    return CodecPhase(
        name="reasoning",
        trains=("reasoning",),
        num_steps=50_000,
        num_unquantized_steps=2_000,
        num_clips=256,
        crop_samples=_LONG,
        learning_rate=5e-5,  # of LoRA; the branch learns at twice that
        codec_rate=2.0,
        commitment_weight=1.0,
        tasks=TASKS,
        checkpoint_every=1_000,
        log_every=50,
        deterministic=False,
        num_held_out=64,
    )


def _grpo() -> CodecPhase:
    return CodecPhase(
        name="grpo",
        trains=TRAINED_PARTS,
        num_steps=4_000,
        num_clips=64,
        crop_samples=_LONG,
        learning_rate=5e-6,
        codec_rate=0.2,
        weight_decay=0.0,
        commitment_weight=0.25,
        tasks=TASKS,
        grpo=GrpoSettings(num_frozen_steps=1_000),
        checkpoint_every=200,
        log_every=20,
        deterministic=False,
        num_held_out=64,
    )


def _reconstruction() -> CodecPhase:
    return CodecPhase(
        name="reconstruction",
        trains=("reconstruction", "flow"),
        num_steps=200_000,
        num_unquantized_steps=4_000,
        num_clips=64,
        crop_samples=_SEGMENT,
        learning_rate=1e-4,
        max_gradient_norm=2.0,
        checkpoint_every=5_000,
        log_every=100,
        deterministic=False,
        num_held_out=64,
    )


def _decoder() -> CodecPhase:
    return replace(
        _reconstruction(),
        name="decoder",
        trains=("reconstruction.condition_out", "reconstruction.padding_condition", "flow"),
        num_steps=100_000,
        num_unquantized_steps=0,
        learning_rate=2.5e-5,
        reasoning_condition=0.5,
    )


RELEASED: dict[str, Callable[[], CodecPhase]] = {
    "scalar": _scalar,
    "reasoning": _reasoning,
    "grpo": _grpo,
    "reconstruction": _reconstruction,
    "decoder": _decoder,
}
