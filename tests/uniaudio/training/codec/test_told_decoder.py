"""Decoding that is told the reasoning codes is a path of its own: phase `decoder` trains it, on real audio."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from uniaudio.audio.frames import UNIT
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.decoding import LATENTS_PER_FRAME
from uniaudio.codec.flow_matching import GENERATE
from uniaudio.stages.codec_phases import codec_phases
from uniaudio.training.codec.clips import TrainingClip
from uniaudio.training.codec.train import train_codec

NUM_HELD_OUT, NUM_STEPS, QUIETER = 24, 500, 0.05
NUM_SAMPLES = 4 * UNIT
"""Of each clip that is measured, so that it can be told the codes of another."""
TIMES = torch.linspace(0.05, 0.8, 16)
"""Of the flow; later, the latents themselves say what the codes say."""


def quieter_sounds(clips: Sequence[TrainingClip]) -> list[TrainingClip]:
    return [
        replace(clip, samples=clip.samples * np.float32(QUIETER)) if clip.facts.domain == "sound" else clip
        for clip in clips
    ]


@torch.no_grad()
def flow_losses(codec: ReasoningCodec, clips: list[np.ndarray], *, told: int | None) -> np.ndarray:
    """`[num_clips]`, mean over the times, from the same noise each call, where each clip is told the reasoning codes of
    the clip `told` places further on, or none."""
    generator = torch.Generator().manual_seed(0)
    branch, codes, losses = codec.reconstruction, codec.encode(clips), []
    for index, samples in enumerate(clips):
        latents_1SL = codec.scalar.encode(torch.from_numpy(samples)[None])
        reconstruction = torch.from_numpy(codes[index].reconstruction.astype(np.int64))[None]
        reasoning = None
        if told is not None:
            heard = torch.from_numpy(codes[(index + told) % len(clips)].reasoning.astype(np.int64))[None]
            reasoning = branch.reasoning_condition(codec.reasoning.quantizer.decode(heard), reconstruction.shape[1])
        condition = branch.condition(reconstruction, reasoning).repeat_interleave(LATENTS_PER_FRAME, dim=1)
        latents, condition = (part.expand(len(TIMES), -1, -1) for part in (latents_1SL, condition))
        mask = torch.full(latents.shape[:2], GENERATE)
        noise = torch.randn(latents.shape, generator=generator)
        losses.append(float(codec.flow.loss(latents, condition, mask, time_B=TIMES, noise_BTL=noise)))
    return np.array(losses)


def standard_errors(differences: np.ndarray) -> float:
    """How many of them the mean is above 0."""
    return float(differences.mean() / (differences.std(ddof=1) / len(differences) ** 0.5))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_decoder_listens_to_the_reasoning_codes_if_training_told_them_and_is_misled_by_them_if_not(
    new_codec: Callable[[], ReasoningCodec], many_clips: list[TrainingClip]
) -> None:
    """The reconstruction codes say nothing here, the reasoning codes speech from sound, and sounds are quiet, lest that
    is of no use: at their own loudness it is too little for a flow of this size to be heard."""
    clips = quieter_sounds(many_clips)
    train, held_out = clips[NUM_HELD_OUT:], clips[:NUM_HELD_OUT]
    scalar, reasoning, decoder = codec_phases(("scalar", "reasoning", "decoder"))
    reasoning = replace(reasoning, tasks=("qa",), num_steps=120, num_unquantized_steps=40, log_every=120)
    decoder = replace(decoder, num_steps=NUM_STEPS, learning_rate=4e-3, log_every=NUM_STEPS)
    codec = new_codec()
    train_codec(codec, [scalar, reasoning], train, held_out)
    for part in (codec.reconstruction.fuse, codec.reconstruction.film):
        for parameter in part.parameters():
            torch.nn.init.zeros_(parameter)
    before = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    measured = [clip.samples[:NUM_SAMPLES] for clip in held_out if len(clip.samples) >= NUM_SAMPLES]
    for share in (0.5, 0.0):
        codec.load_state_dict(before)
        train_codec(codec, [replace(decoder, reasoning_condition=share)], train, held_out)
        untold, own, others = (flow_losses(codec, measured, told=told) for told in (None, 0, 1))
        print(
            f"told {share:.0%} of the crops: held-out flow loss of {len(own)} clips {own.mean():.4f} when told, lower "
            f"by {(untold - own).mean():.5f} ({standard_errors(untold - own):.1f} standard errors) than when not, by "
            f"{(others - own).mean():.5f} ({standard_errors(others - own):.1f}) than when told another clip's"
        )
        assert (standard_errors(own - untold) > 3) == (share == 0), "what was never told is noise"
        assert standard_errors(others - own) > 3 or share == 0, "it makes no difference which codes are told"
