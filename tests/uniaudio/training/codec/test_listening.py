"""Phases that read codes learn to listen to them, on real audio: losses alone fall without it, since what all clips have in
common can be learned by the deaf.

Every bound lies between what a codec reaches and what one reaches whose encoders say nothing; a test each trains both.
"""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from uniaudio_schemas.kinds.codec import Metric

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.stages.codec_phases import codec_phases
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.train import train_codec

pytestmark = pytest.mark.slow
NewCodec = Callable[[], ReasoningCodec]
NUM_HELD_OUT = 16
BEST_DEAF_LOSS = 0.099
"""ln(2) / 7: no guesser of `speech` or `sound`, six bytes or five and the end, needs fewer nats a token, unless the length of
a clip tells it something. With three seeds a codec that hears needs 0.048 to 0.089, a deaf one 0.108 to 0.113."""


def curve(metrics: list[Metric], phase: str, name: str) -> list[float]:
    return [metric.value for metric in metrics if (metric.phase, metric.name) == (phase, name)]


@pytest.fixture(params=["hears", "deaf"])
def codec_and_hears(
    request: pytest.FixtureRequest, new_codec: NewCodec, new_deaf_codec: NewCodec
) -> tuple[ReasoningCodec, bool]:
    hears = request.param == "hears"
    return (new_codec if hears else new_deaf_codec)(), hears


def text_phases(names: tuple[str, ...], num_steps: tuple[int, ...], **changes: object) -> list[CodecPhase]:
    """Whole clips, of which the codec is asked what they are."""
    phases = []
    for phase, steps in zip(codec_phases(names), num_steps, strict=True):
        unquantized = steps // 3 if phase.name == "reasoning" else 0
        lengths = {"num_steps": steps, "num_unquantized_steps": unquantized, "checkpoint_every": steps}
        phases.append(replace(phase, **lengths, log_every=steps, num_held_out=NUM_HELD_OUT, **changes))
    return phases


def test_reasoning_answers_from_what_it_hears(
    codec_and_hears: tuple[ReasoningCodec, bool], many_clips: list[TrainingClip]
) -> None:
    codec, hears = codec_and_hears
    phases = text_phases(("reasoning",), (120,), tasks=("qa",))
    metrics = train_codec(codec, phases, many_clips[NUM_HELD_OUT:], many_clips[:NUM_HELD_OUT])
    losses, gains = (curve(metrics, "reasoning", name) for name in ("held_out_loss", "held_out_gain"))
    texts = curve(metrics, "reasoning", "text")
    print(
        f"reasoning, {hears=}: held-out loss {losses[0]:.3f} -> {losses[-1]:.3f} nats a token ({texts[-1]:.3f} in "
        f"training), lower than with another clip's frames by {gains[0]:.4f} -> {gains[-1]:.4f}"
    )
    assert losses[-1] < 0.1 * losses[0], "a deaf one learns what answers look like"
    assert (losses[-1] < BEST_DEAF_LOSS) == (gains[-1] > 0.2) == hears


@pytest.fixture
def text_model() -> str:
    if not (folder := os.environ.get("UNIAUDIO_TEXT_MODEL", "")):
        pytest.skip("no language model: set UNIAUDIO_TEXT_MODEL to the folder of one, such as SmolLM2-135M")
    return folder


@pytest.mark.timeout(1_800)
def test_a_real_language_model_answers_from_what_it_hears(
    codec_and_hears: tuple[ReasoningCodec, bool], many_clips: list[TrainingClip], text_model: str
) -> None:
    codec, hears = codec_and_hears
    phases = text_phases(("reasoning",), (90,), tasks=("qa",), text_model=text_model, learning_rate=1e-3)
    metrics = train_codec(codec, phases, many_clips[NUM_HELD_OUT:], many_clips[:NUM_HELD_OUT])
    losses, gains = (curve(metrics, "reasoning", name) for name in ("held_out_loss", "held_out_gain"))
    print(
        f"language model, {hears=}: held-out loss {losses[0]:.3f} -> {losses[-1]:.3f} nats a token, lower than with "
        f"another clip's frames by {gains[0]:.4f} -> {gains[-1]:.4f}"
    )
    assert losses[-1] < 0.1 * losses[0], "a deaf one learns what answers look like"
    # `speech` and `sound` are a token each and the end another: ln(2) / 2 nats to a guesser, less by what lengths tell.
    assert (losses[-1] < 0.26) == (gains[-1] > 1.0) == hears


def test_grpo_earns_its_reward_by_listening(
    codec_and_hears: tuple[ReasoningCodec, bool], many_clips: list[TrainingClip]
) -> None:
    """After a supervised phase that is too short for it, which alone knows the form."""
    codec, hears = codec_and_hears
    sft, grpo = text_phases(("reasoning", "grpo"), (60, 40), tasks=("analysis",))
    settings = replace(grpo.grpo, max_answer_tokens=16, num_frozen_steps=10, sft_weight=0.0)
    phases = [sft, replace(grpo, grpo=settings, learning_rate=2e-3)]
    metrics = train_codec(codec, phases, many_clips[NUM_HELD_OUT:], many_clips[:NUM_HELD_OUT])
    rewards = [1 - loss for loss in curve(metrics, "grpo", "held_out_loss")]
    gains = curve(metrics, "grpo", "held_out_gain")
    print(
        f"grpo, {hears=}: held-out reward {rewards[0]:.3f} -> {rewards[-1]:.3f}, higher than for answers to another "
        f"clip by {gains[0]:.3f} -> {gains[-1]:.3f}"
    )
    # The domain is right in half of the answers of a guesser: 0.9 / 2, and 0.1 for the form.
    assert (rewards[-1] > rewards[0] + 0.15) == (rewards[-1] > 0.7) == hears
    assert (gains[-1] > gains[0] + 0.2) == hears


@pytest.mark.timeout(600)
def test_the_flow_listens_to_codes_that_learn_beside_it_and_a_new_one_to_codes_that_stay(
    codec_and_hears: tuple[ReasoningCodec, bool], new_codec: NewCodec, many_clips: list[TrainingClip]
) -> None:
    """Phase `reconstruction`, then phase `decoder` with a flow that knows nothing."""
    codec, hears = codec_and_hears
    scalar, reconstruction, decoder = codec_phases(("scalar", "reconstruction", "decoder"))
    train, held_out = many_clips[NUM_HELD_OUT:], many_clips[:NUM_HELD_OUT]
    metrics = train_codec(codec, [scalar, reconstruction], train, held_out)
    codec.flow.load_state_dict(new_codec().flow.state_dict())
    decoder = replace(decoder, learning_rate=reconstruction.learning_rate, num_held_out=NUM_HELD_OUT)
    metrics += train_codec(codec, [decoder], train, held_out)
    for phase in ("reconstruction", "decoder"):
        losses, gains = (curve(metrics, phase, name) for name in ("held_out_loss", "held_out_gain"))
        print(
            f"{phase}, {hears=}: held-out loss {losses[0]:.3f} -> {losses[-1]:.3f}, lower than with another clip's codes "
            f"by {gains[0]:.4f} -> {gains[-1]:.4f}"
        )
        assert losses[-1] < 0.5 * losses[0], "a deaf one learns what latents look like"
        assert abs(gains[0]) < 0.004
        assert (gains[-1] > 0.012) == hears
