"""What a phase minimizes is the sum of its terms, each with its weight and a gradient of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from uniaudio.codec.codebook import Codebook
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import CodecConfig
from uniaudio.stages.codec_phase import CodecPhase, GrpoSettings
from uniaudio.stages.codec_phases import codec_phase
from uniaudio.training.checkpoint import Checkpoint, TrainingState
from uniaudio.training.codec.clips import ClipSet, FrozenCache, TrainingClip
from uniaudio.training.codec.examples import ClipFacts
from uniaudio.training.codec.grpo_reward import policy_loss
from uniaudio.training.codec.objectives import build_losses
from uniaudio.training.codec.train import PhaseObjective, train_codec
from uniaudio.training.processes import Processes
from uniaudio.training.run import Listeners

WEIGHTS: dict[str, dict[str, float]] = {
    "reconstruction": {"flow": 1.0, "phone": 0.3, "commitment": 0.7},
    "reasoning": {"text": 1.0, "commitment": 0.7},
    "grpo": {"policy": 1.0, "commitment": 0.7, "text": 0.2},
    "encoders": {"wavlm": 1.0, "music": 1.0},
}
"""Phase -> term -> its weight in `short`."""


def clips() -> list[TrainingClip]:
    generator = np.random.default_rng(0)
    return [
        TrainingClip(
            samples=(0.1 * generator.standard_normal(19_200)).astype(np.float32),
            text=f"clip {number}",
            facts=ClipFacts(domain="speech", transcript=f"clip {number}"),
        )
        for number in range(5)
    ]


def short(name: str) -> CodecPhase:
    settings = GrpoSettings(num_rollouts=2, max_answer_tokens=6, sft_weight=0.2)
    return replace(
        codec_phase(name),
        num_steps=2,
        num_clips=2,
        crop_samples=9_600,
        num_held_out=1,
        num_unquantized_steps=0,
        phone_weight=0.3,
        commitment_weight=0.7,
        grpo=settings,
    )


@pytest.fixture(scope="module")
def codec() -> ReasoningCodec:
    pytest.importorskip("transformers")
    codec = ReasoningCodec.create(CodecConfig.preset("debug"))
    for module in codec.modules():
        if isinstance(module, Codebook):
            # Not placed on the vectors of the first crops, to which nothing would be left to commit.
            module.initialized.fill_(True)
    return codec


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_phase_minimizes_each_of_its_terms_with_its_weight(name: str, codec: ReasoningCodec) -> None:
    phase, cache = short(name), FrozenCache()
    sets = ClipSet(codec, clips()[1:], cache), ClipSet(codec, clips()[:1], cache)
    losses = build_losses(codec, phase, *sets, None)
    objective = PhaseObjective(codec, phase, losses)
    terms = next(losses.passes(0, Processes()))
    expected = sum(weight * terms[term] for term, weight in WEIGHTS[name].items())
    torch.testing.assert_close(terms["loss"], expected)
    learning = [one for group in objective.groups() for one in group.parameters.values()]
    for term in WEIGHTS[name]:
        if term == "policy":
            continue  # whose gradient is zero where the answers of a group are worth the same
        gradients = torch.autograd.grad(terms[term], learning, retain_graph=True, allow_unused=True)
        assert any(gradient is not None and bool(gradient.any()) for gradient in gradients), term


def test_the_distance_to_the_reference_is_a_cost_that_pulls_towards_it() -> None:
    reference = torch.tensor([[-1.0, -2.0]])
    log = (reference + torch.tensor([[0.4, -0.3]])).requires_grad_()
    counted, settings = torch.ones(1, 2, dtype=torch.bool), GrpoSettings(kl_weight=0.5)
    found = policy_loss(log, log.detach(), reference, torch.zeros(1), counted, settings)
    assert found.kl > 0
    torch.testing.assert_close(found.loss, 0.5 * found.kl)
    found.loss.backward()
    assert log.grad is not None
    # A step against the gradient brings both tokens nearer.
    assert log.grad[0, 0] > 0 and log.grad[0, 1] < 0


@pytest.mark.parametrize("name", ["scalar", "reasoning", "reconstruction", "decoder"])
def test_what_a_phase_does_not_train_stays_bit_for_bit(name: str, codec: ReasoningCodec) -> None:
    phase, before = short(name), {key: value.clone() for key, value in codec.state_dict().items()}
    train_codec(codec, [phase], clips()[1:], clips()[:1])
    moved = {key for key, value in codec.state_dict().items() if not torch.equal(value, before[key])}
    # Words are learned by the codec's own text decoder.
    learners = (*phase.trains, "text") if name == "reasoning" else phase.trains
    assert {key for key in before if key.startswith(learners)} >= moved > set()
    assert any(key.startswith("text") for key in moved) == (name == "reasoning")


def test_what_a_phase_trained_is_at_rest_in_the_next() -> None:
    pytest.importorskip("transformers")
    alone, together = (ReasoningCodec.create(CodecConfig.preset("debug")) for _ in range(2))
    train_codec(alone, [short("scalar")], clips()[1:], clips()[:1])
    train_codec(together, [short("scalar"), short("decoder")], clips()[1:], clips()[:1])
    after = together.scalar.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in alone.scalar.state_dict().items())


def test_transcripts_that_cannot_be_spelled_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("transformers")
    codec = ReasoningCodec.create(replace(CodecConfig.preset("debug"), num_ctc_slots=1))
    told = [
        replace(clip, facts=ClipFacts(transcript=text))
        for clip, text in zip(clips(), ["ab", "abcd", "abcde", "", "aab"], strict=True)
    ]
    build_losses(codec, short("reasoning"), ClipSet(codec, told), ClipSet(codec, told[:1]), None)
    assert "1 of 4 transcripts are too long for their frames" in caplog.text
    caplog.clear()
    build_losses(codec, short("reasoning"), ClipSet(codec, told[:2]), ClipSet(codec, told[:1]), None)
    assert "too long" not in caplog.text


def test_a_run_whose_text_decoder_is_the_codecs_own_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("transformers")

    def keep_the_first(state: TrainingState, checkpoint: Checkpoint) -> None:
        if state.step == 1:
            checkpoint(tmp_path)

    phase = replace(short("reasoning"), checkpoint_every=1)
    unbroken, resumed = (ReasoningCodec.create(CodecConfig.preset("debug")) for _ in range(2))
    train_codec(unbroken, [phase], clips()[1:], clips()[:1], listeners=Listeners(on_checkpoint=keep_the_first))
    names = {name for file in tmp_path.glob("*.safetensors") for name in load_file(file)}
    assert "modules.codec.text.out.weight" in names
    assert not any(name.startswith("modules.teacher") for name in names)
    train_codec(resumed, [phase], clips()[1:], clips()[:1], resume_from=tmp_path)
    assert resumed.fingerprint == unbroken.fingerprint
