"""Decoding that is told the reasoning codes is a path of its own: phase `decoder` trains it, on real audio."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from uniaudio.audio.frames import UNIT, padded_length
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.decoding import LATENTS_PER_FRAME
from uniaudio.codec.flow_matching import GENERATE
from uniaudio.codec.training.clips import TrainingClip
from uniaudio.codec.training.train import train_codec
from uniaudio.stages.codec_phases import codec_phases

NUM_STEPS, LOUDER = 60, 10.0


@torch.no_grad()
def flow_loss(codec: ReasoningCodec, clips: list[TrainingClip], *, told: bool) -> float:
    """Of whole clips, mean over four times of the flow, from the same noise each call."""
    generator = torch.Generator().manual_seed(0)
    losses = []
    for clip in clips:
        samples = np.pad(clip.samples, (0, padded_length(len(clip.samples)) - len(clip.samples)))
        assert len(samples) % UNIT == 0
        (codes,) = codec.encode([samples])
        latents_SL = codec.scalar.encode(torch.from_numpy(samples)[None])[0]
        reasoning, reconstruction = (
            torch.from_numpy(stream.astype(np.int64))[None] for stream in (codes.reasoning, codes.reconstruction)
        )
        branch, num_frames = codec.reconstruction, reconstruction.shape[1]
        added = branch.reasoning_condition(codec.reasoning.quantizer.decode(reasoning), num_frames) if told else None
        condition = branch.condition(reconstruction, added).repeat_interleave(LATENTS_PER_FRAME, dim=1)
        time = torch.tensor([0.1, 0.35, 0.6, 0.85])
        mask = torch.full((4, len(latents_SL)), GENERATE)
        noise = torch.randn(4, *latents_SL.shape, generator=generator)
        repeated = latents_SL.expand(4, -1, -1), condition.expand(4, -1, -1)
        losses.append(float(codec.flow.loss(*repeated, mask, time_B=time, noise_BTL=noise)))
    return float(np.mean(losses))


@pytest.mark.slow
def test_a_decoder_that_was_told_the_reasoning_codes_uses_them_better_than_one_that_never_was(
    new_codec, short, train_clips, held_out_clips
) -> None:
    """The codes of an untrained reasoning branch say little, so what they add is made loud."""
    reconstruction, decoder = (short(phase, NUM_STEPS) for phase in codec_phases(("reconstruction", "decoder")))
    found = {}
    for share in (0.0, 0.5):
        codec = new_codec()
        with torch.no_grad():
            for parameter in codec.reconstruction.reasoning_adaptor.parameters():
                parameter.mul_(LOUDER)
        decoder = replace(decoder, reasoning_condition=share, learning_rate=1e-3)
        train_codec(codec, [reconstruction], train_clips, held_out_clips)
        before = flow_loss(codec, held_out_clips, told=True)
        train_codec(codec, [decoder], train_clips, held_out_clips)
        found[share] = {told: flow_loss(codec, held_out_clips, told=told) for told in (False, True)}
        print(f"told {share:.0%} of the crops: held-out flow loss when told {before:.4f} -> {found[share]}")
    assert found[0.5][True] < 0.99 * found[0.0][True], "being told in training made no difference"
    assert found[0.5][False] < 1.02 * found[0.0][False], "decoding that is not told got worse"
