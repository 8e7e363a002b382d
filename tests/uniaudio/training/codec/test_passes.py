"""A step of codec training in several passes is the step of one pass: its losses, its gradient, and where its codebooks go."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.codebook import Codebook
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.parts import SpectralConfig
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.codec.flow import FlowBlock
from uniaudio.codec.query_transformer import QueryBlock
from uniaudio.stages.codec_phase import AdversarialSettings, CodecPhase, GrpoSettings
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.testing import a_waveform
from uniaudio.training.codec.clips import ClipSet, TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.objectives import build_losses
from uniaudio.training.codec.train import PhaseObjective
from uniaudio.training.processes import Processes

NUM_CLIPS, MICRO_CLIPS = 5, 2
"""Which it does not divide: the last pass has one clip."""
GRPO = GrpoSettings(num_rollouts=2, max_answer_tokens=8)
ADVERSARIAL = AdversarialSettings(weight=1.0, feature_weight=2.0, channels=4)


def clip(number: int) -> TrainingClip:
    """Clips of unequal length, text and loudness: a mean of means is not the mean of all."""
    text = f"clip {number} " * (1 + number % 3)
    samples = a_waveform(0.55 + 0.21 * number, frequency=150 + 40 * number, seed=number) * (1 + number)
    return TrainingClip(samples=samples, text=text, facts=ClipFacts(domain="speech", transcript=text))


CLIPS = [clip(number) for number in range(7)]


def debug() -> CodecConfig:
    """Far fewer entries than frames: else frames are entries, and the levels behind the first quantize rounding."""
    config = CodecConfig.preset("debug")
    groups = {
        name: replace(getattr(config, name), codebook_size=2, dead_code_threshold=1.2)
        for name in ("reasoning", "phone", "music_group", "acoustic")
    }
    return replace(config, has_direct_queries=True, **groups)


def spelling() -> CodecConfig:
    return replace(debug(), num_ctc_slots=8)


def spectral() -> CodecConfig:
    scalar = SpectralConfig(latent_dim=32, dim=48, num_encoder_layers=1, num_decoder_layers=1, num_phase_rounds=4)
    flow = replace(debug().flow, normalizes_latents=True, num_mean_layers=1, mean_dim=48, num_layers=1)
    return replace(debug(), scalar=scalar, flow=flow, num_mel_bands=20)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step of a phase ends in, before the optimizer."""

    values: dict[str, float]
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]
    num_passes: int
    num_block_calls: int
    """How often transformer blocks were computed with a gradient."""
    most_clips: int
    """Most rows that a pass gave the trained parts at once."""


def phase_of(name: str, **changes: object) -> CodecPhase:
    sizes = {"num_clips": NUM_CLIPS, "crop_samples": 28_800, "num_held_out": 1, "num_unquantized_steps": 0}
    return replace(codec_phase(name), num_steps=4, checkpoint_every=4, grpo=GRPO, **{**sizes, **changes})


def placed(codec: ReasoningCodec) -> ReasoningCodec:
    """`codec`, whose codebooks have been placed."""
    for module in codec.modules():
        if isinstance(module, Codebook):
            module.initialized.fill_(True)
    return codec


def step_of(codec: ReasoningCodec, phase: CodecPhase, step: int = 0, processes: Processes | None = None) -> Step:
    codec = copy.deepcopy(codec)
    clips = ClipSet(codec, CLIPS)
    torch.manual_seed(0)
    objective = PhaseObjective(codec, phase, build_losses(codec, phase, clips, clips, None))
    objective.processes = processes or Processes()
    rows: list[int] = []
    for part in phase.trains:
        module = dict(codec.named_modules()).get(part)
        for one in [] if module is None else module.modules():
            if isinstance(one, nn.Linear | nn.Conv1d):
                one.register_forward_pre_hook(lambda _, inputs: rows.append(torch.is_grad_enabled() * len(inputs[0])))
    calls: list[int] = []
    for one in (*codec.modules(), *objective.teacher.modules()):
        if isinstance(one, FlowBlock | QueryBlock | nn.TransformerEncoderLayer):
            inner = next(module for module in one.modules() if isinstance(module, nn.LayerNorm))
            inner.register_forward_hook(lambda *_: calls.append(1) if torch.is_grad_enabled() else None)
    num_passes = 0
    for loss in objective.losses(step):
        loss.backward()
        num_passes += 1
    learning = {name: one for group in objective.groups() for name, one in group.parameters.items()}
    return Step(
        values=objective.values(),
        gradients={name: one.grad for name, one in learning.items() if one.grad is not None},
        buffers={name: buffer.float() for name, buffer in codec.named_buffers() if "codebooks" in name},
        num_passes=num_passes,
        num_block_calls=len(calls),
        most_clips=max(rows),
    )


def far(left: Step, right: Step) -> dict[str, float]:
    """Largest difference of losses, gradients (over the largest of all) and codebooks."""
    assert left.values.keys() == right.values.keys() and left.gradients.keys() == right.gradients.keys()
    largest = max(float(one.abs().max()) for one in left.gradients.values())
    assert largest > 0
    return {
        "values": max(
            abs(left.values[name] - right.values[name]) / max(1, abs(left.values[name])) for name in left.values
        ),
        "gradients": max(
            float((left.gradients[name] - right.gradients[name]).abs().max()) / max(1, largest)
            for name in left.gradients
        ),
        "buffers": max(float((left.buffers[name] - right.buffers[name]).abs().max()) for name in left.buffers),
    }


CASES: dict[str, tuple[Callable[[], CodecConfig], str, dict[str, object], int, float]] = {
    # The logarithm of quiet magnitudes, and the CTC head's norm of short vectors, enlarge the rounding of sums in another order.
    "scalar with noise": (debug, "scalar", {"num_unquantized_steps": 2, "crop_samples": 9_600}, 1, 2e-5),
    "scalar, rounded": (debug, "scalar", {"crop_samples": 9_600}, 0, 2e-5),
    "scalar with discriminators": (debug, "scalar", {"adversarial": ADVERSARIAL, "crop_samples": 9_600}, 0, 2e-5),
    "spectral scalar with noise": (spectral, "scalar", {"num_unquantized_steps": 2}, 1, 1e-6),
    "reasoning, unquantized": (debug, "reasoning", {"num_unquantized_steps": 2}, 1, 1e-6),
    "reasoning, first codes": (debug, "reasoning", {}, 0, 1e-6),
    "reasoning that spells": (spelling, "reasoning", {}, 0, 2e-5),
    "grpo": (debug, "grpo", {}, 0, 1e-6),
    "reconstruction, unquantized": (debug, "reconstruction", {"num_unquantized_steps": 2}, 1, 1e-6),
    "reconstruction, first codes": (debug, "reconstruction", {}, 0, 1e-6),
    "reconstruction of a mean": (spectral, "reconstruction", {"intelligibility_weight": 0.5}, 0, 1e-6),
    "decoder": (spectral, "decoder", {"reasoning_condition": 0.5}, 0, 1e-6),
}
"""Codec, phase, what is changed of it, step, and how far the gradients may be apart, over the largest of them where that is more
than 1."""


@pytest.fixture(scope="module", autouse=True)
def _transformers() -> None:
    pytest.importorskip("transformers")


@pytest.mark.parametrize("case", CASES)
def test_passes_add_up_to_the_step_of_one_pass(case: str) -> None:
    new_config, name, changes, step, tolerance = CASES[case]
    codec, phase = ReasoningCodec.create(new_config()), phase_of(name, **changes)
    whole, parts = step_of(codec, phase, step), step_of(codec, replace(phase, micro_clips=MICRO_CLIPS), step)
    assert (whole.num_passes, parts.num_passes) == (1, 3)
    assert (whole.most_clips, parts.most_clips) == (NUM_CLIPS, MICRO_CLIPS)
    apart = far(whole, parts)
    assert apart["gradients"] < tolerance and apart["values"] < 1e-6 and apart["buffers"] < 2e-6, apart


@pytest.mark.parametrize("name", ["reasoning", "reconstruction"])
def test_codebooks_that_are_placed_move_once_a_step_by_the_frames_of_all_passes(name: str) -> None:
    codec = placed(ReasoningCodec.create(debug()))
    before = {key: buffer.float() for key, buffer in codec.named_buffers() if "codebooks" in key}
    phase = phase_of(name)
    whole, parts = step_of(codec, phase), step_of(codec, replace(phase, micro_clips=MICRO_CLIPS))
    apart = far(whole, parts)
    assert apart["buffers"] < 2e-6 and apart["gradients"] < 1e-6, apart
    moved = [key for key in before if key.endswith("vectors") and not torch.equal(before[key], parts.buffers[key])]
    assert moved and all(key.startswith(name) for key in moved)


def test_a_worker_makes_passes_of_its_own_clips_alone() -> None:
    codec, phase = ReasoningCodec.create(spectral()), phase_of("scalar")
    for rank in range(2):
        of_rank = Processes(rank=rank, world_size=2)
        shared = (
            step_of(codec, phase, processes=of_rank),
            step_of(codec, replace(phase, micro_clips=1), processes=of_rank),
        )
        assert [one.num_passes for one in shared] == [1, (3, 2)[rank]]
        assert far(*shared)["gradients"] < 1e-6


@pytest.mark.parametrize("name", ["reasoning", "grpo", "reconstruction", "decoder"])
def test_recomputed_blocks_give_the_gradients_of_kept_ones_bit_for_bit(name: str) -> None:
    codec, phase = ReasoningCodec.create(debug()), phase_of(name)
    kept, recomputed = step_of(codec, phase), step_of(codec, replace(phase, recompute="blocks"))
    assert kept.values == recomputed.values
    assert all(torch.equal(kept.gradients[key], recomputed.gradients[key]) for key in kept.gradients)
    assert recomputed.num_block_calls == 2 * kept.num_block_calls > 0


def test_fields_that_a_phase_cannot_take_are_refused() -> None:
    with pytest.raises(UsageError, match="`micro_clips` must be a whole number of 0 or more, but is -1"):
        phase_of("scalar", micro_clips=-1)
    with pytest.raises(UsageError, match=r"`micro_clips` of phase `encoders` must be 0, .* but is 2"):
        phase_of("encoders", micro_clips=2)
    with pytest.raises(UsageError, match="`recompute` must be none or blocks, but is 'selective'"):
        phase_of("decoder", recompute="selective")


def test_a_phase_is_known_as_before_where_neither_is_set() -> None:
    plain, told = phase_of("decoder"), phase_of("decoder", micro_clips=2, recompute="blocks")
    assert not {"micro_clips", "recompute"} & plain.to_dict().keys()
    assert CodecPhase.from_dict(told.to_dict()) == told != plain
