"""Every phase of codec training, on real audio at the debug size: it learns, it goes on where it was killed, and what it
does not train stays as it was.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.codec import Metric

from uniaudio.codec.codebook import Codebook
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.decoding import LATENTS_PER_FRAME
from uniaudio.codec.released.compat import compat_condition
from uniaudio.stages.codec_phase import AdversarialSettings, CodecPhase, GrpoSettings
from uniaudio.stages.codec_phases import PHASES, codec_phase, codec_phases
from uniaudio.training.checkpoint import TrainingState
from uniaudio.training.codec.clips import ClipSet, FrozenCache, TrainingClip
from uniaudio.training.codec.objectives import build_losses
from uniaudio.training.codec.train import train_codec
from uniaudio.training.processes import Processes
from uniaudio.training.run import Listeners

NewCodec = Callable[[], ReasoningCodec]
Short = Callable[..., CodecPhase]
ADVERSARIAL = AdversarialSettings(weight=1.0, feature_weight=2.0, channels=4)
GRPO = GrpoSettings(num_rollouts=4, max_answer_tokens=16, num_frozen_steps=1, num_inner_steps=2)
# Of the other phases, which can lower their losses without listening: `test_listening.py`.
STEPS = {"encoders": 30, "scalar": 12}
TRAINED = {
    "encoders": {"encoders.wavlm", "encoders.music"},
    "scalar": {"scalar.encoder", "scalar.decoder"},
    "reasoning": {
        "reasoning.whisper_down",
        "reasoning.merge",
        "reasoning.query_transformer",
        "reasoning.quantizer",
    },
    "decoder": {"reconstruction.condition_out", "reconstruction.padding_condition", "flow.transformer"},
}


def few(phase: CodecPhase, short: Short, num_steps: int) -> CodecPhase:
    phase = short(phase, num_steps)
    if phase.name == "scalar":
        return replace(phase, adversarial=ADVERSARIAL)
    return replace(phase, grpo=GRPO) if phase.name == "grpo" else phase


def held_out(metrics: list[Metric], phase: str) -> list[float]:
    return [metric.value for metric in metrics if (metric.phase, metric.name) == (phase, "held_out_loss")]


def differing(before: dict[str, torch.Tensor], codec: ReasoningCodec) -> set[str]:
    """Names of the tensors that are not bit-identical, buffers included."""
    return {name for name, tensor in codec.state_dict().items() if not torch.equal(before[name], tensor)}


def snapshot(codec: ReasoningCodec) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in codec.state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_a_phase_lowers_its_held_out_loss_on_real_audio(
    name: str, new_codec: NewCodec, short: Short, train_clips: list[TrainingClip], held_out_clips: list[TrainingClip]
) -> None:
    num_steps = 4 * STEPS[name]
    phase = replace(few(codec_phase(name), short, num_steps), num_unquantized_steps=num_steps // 4)
    values = held_out(train_codec(new_codec(), [phase], train_clips, held_out_clips), name)
    print(f"{name}: held-out loss {values[0]:.3f} -> {values[-1]:.3f} in {num_steps} steps")
    assert values[-1] < 0.97 * values[0]


@pytest.mark.parametrize("name", TRAINED)
def test_a_phase_changes_its_parts_and_nothing_else(
    name: str, new_codec: NewCodec, short: Short, train_clips: list[TrainingClip], held_out_clips: list[TrainingClip]
) -> None:
    codec = new_codec()
    before = snapshot(codec)
    phase = replace(few(codec_phase(name), short, 2), num_clips=2, crop_samples=9_600)
    train_codec(codec, [phase], train_clips, held_out_clips[:1])
    parts = {".".join(tensor.split(".")[:2]) for tensor in differing(before, codec)}
    assert {part for part in parts if not part.startswith("text.")} == TRAINED[name]
    # The text decoder is kept with the codec, and learns where texts are asked for.
    assert any(part.startswith("text.") for part in parts) == (name == "reasoning")


def test_reconstruction_leaves_encoders_reasoning_and_autoencoder_bit_identical(
    new_codec: NewCodec, short: Short, train_clips: list[TrainingClip], held_out_clips: list[TrainingClip]
) -> None:
    codec = new_codec()
    before = snapshot(codec)
    train_codec(codec, [short(codec_phase("reconstruction"), 6)], train_clips, held_out_clips[:1])
    moved = differing(before, codec)
    assert {name.split(".")[0] for name in moved} == {"reconstruction", "flow"}
    frozen = [name for name in before if name.split(".")[0] in ("encoders", "reasoning", "scalar")]
    buffers = {name for name, _ in codec.named_buffers()}
    assert any(name in buffers for name in frozen), "no buffer was compared"
    assert any("codebooks" in name for name in moved), "the codebooks of the branch that learns must move"


def test_the_decoder_phase_changes_no_code(
    new_codec: NewCodec, short: Short, train_clips: list[TrainingClip], held_out_clips: list[TrainingClip]
) -> None:
    codec = new_codec()
    waveforms = [clip.samples for clip in held_out_clips[:2]]
    before = codec.encode(waveforms)
    train_codec(codec, [short(codec_phase("decoder"), 3)], train_clips, held_out_clips[:1])
    for old, new in zip(before, codec.encode(waveforms), strict=True):
        assert (old.reasoning == new.reasoning).all() and (old.reconstruction == new.reconstruction).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", PHASES)
def test_a_run_that_was_killed_goes_on_bit_for_bit(
    name: str,
    new_codec: NewCodec,
    short: Short,
    train_clips: list[TrainingClip],
    held_out_clips: list[TrainingClip],
    tmp_path: Path,
) -> None:
    names = ("reasoning", "grpo") if name == "grpo" else (name,)
    phases = [few(phase, short, 4) for phase in codec_phases(names)]
    arguments = (phases, train_clips, held_out_clips[:2])

    def keep(state: TrainingState, save: Callable[[Path], None]) -> None:
        save(tmp_path / f"{state.part_index}-{state.step}")

    unbroken = new_codec()
    metrics = train_codec(unbroken, *arguments, listeners=Listeners(on_checkpoint=keep))
    for folder in sorted(tmp_path.iterdir()):
        resumed = new_codec()
        assert train_codec(resumed, *arguments, resume_from=folder) == metrics, folder.name
        assert not differing(snapshot(unbroken), resumed), folder.name
    assert len(list(tmp_path.iterdir())) == 2 * len(phases)
    shutil.rmtree(tmp_path)


def test_grpo_without_the_phase_whose_decoder_it_needs_is_refused(
    new_codec: NewCodec, train_clips: list[TrainingClip], held_out_clips: list[TrainingClip]
) -> None:
    with pytest.raises(UsageError, match="must come right after `reasoning`, but comes after scalar"):
        train_codec(new_codec(), codec_phases(("scalar", "grpo")), train_clips, held_out_clips)


def test_features_are_computed_anew_once_the_encoders_learned(
    new_codec: NewCodec, short: Short, train_clips: list[TrainingClip], held_out_clips: list[TrainingClip]
) -> None:
    phases = [short(codec_phase(name), 2) for name in ("reconstruction", "encoders", "decoder")]
    together, apart = new_codec(), new_codec()
    train_codec(together, phases, train_clips, held_out_clips[:1])
    for phase in phases:
        train_codec(apart, [phase], train_clips, held_out_clips[:1])
    assert not differing(snapshot(together), apart)


def test_a_phase_survives_json() -> None:
    import json

    for name in PHASES:
        phase = codec_phase(name, "starter")
        assert CodecPhase.from_dict(json.loads(json.dumps(phase.to_dict()))) == phase


def test_what_told_crops_are_conditioned_on_is_what_the_released_decoder_adds(new_codec: NewCodec) -> None:
    codec = new_codec()
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(codec.config.reconstruction_codebook_size, (1, 10, 8), generator=generator)
    reasoning = torch.randint(codec.config.reasoning_codebook_size, (1, 4, 8), generator=generator)
    branch = codec.reconstruction
    told = branch.reasoning_condition(codec.reasoning.quantizer.decode(reasoning), 10)
    released = compat_condition(codec, codes, reasoning)[:, ::LATENTS_PER_FRAME]
    assert torch.allclose(branch.condition(codes, told), released, atol=1e-6)
    assert not torch.allclose(branch.condition(codes, told), branch.condition(codes), atol=1e-3)


@pytest.mark.parametrize("name", ["reasoning", "reconstruction"])
def test_codes_that_are_there_are_used_from_the_first_step(
    name: str, new_codec: NewCodec, short: Short, train_clips: list[TrainingClip]
) -> None:
    phase = short(codec_phase(name), 3, num_unquantized_steps=2)

    def first_losses(codec: ReasoningCodec) -> set[str]:
        clips = ClipSet(codec, train_clips, FrozenCache())
        losses = next(build_losses(codec, phase, clips, clips, None).passes(0, Processes.current()))
        return {losses_name for losses_name, loss in losses.items() if losses_name != "commitment" or loss > 0}

    fresh = new_codec()
    assert "commitment" not in first_losses(fresh)
    for codebook in fresh.modules():
        if isinstance(codebook, Codebook):
            codebook.initialized.fill_(True)
    assert "commitment" in first_losses(fresh)
