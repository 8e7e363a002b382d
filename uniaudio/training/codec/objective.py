"""What every phase of codec training gives the loop: the losses of one step, and a held-out loss that does not move by
chance.

Row in   step 17 of phase `reconstruction`
Row out  {"loss": 1.31, "flow": 0.92, "phone": 0.8, "commitment": 0.62}
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP, UNIT
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.config.presets import LATENT_HOP
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import ClipSet, Crop, step_generator

LATENTS_PER_UNIT = UNIT // LATENT_HOP
REASONING_PER_UNIT = UNIT // REASONING_HOP
FRAMES_PER_UNIT = UNIT // RECONSTRUCTION_HOP

Losses = dict[str, Tensor]


class Share(Protocol):
    """The part of a step's batch that a worker computes."""

    @property
    def rank(self) -> int:
        """Rank of this worker, from 0."""
        ...

    @property
    def world_size(self) -> int:
        """How many workers share a batch."""
        ...


class HeldOut(NamedTuple):
    """What held-out clips say of a codec."""

    loss: float
    """Mean of the clips."""
    gain: float | None = None
    """How much lower the loss is with a clip's own frames than with another clip's: what is heard, not what is known of all
    clips; None where the loss is of the clip alone, or there is but one clip. No unit, nats of text, or reward."""


class PhaseLosses(Protocol):
    """One phase's losses; built once a phase."""

    teacher: nn.Module
    """What learns beside the codec and is not part of it; may be empty."""
    train: ClipSet
    """Clips that steps are drawn from."""

    def __init__(self, codec: ReasoningCodec, phase: CodecPhase, train: ClipSet, held_out: ClipSet) -> None: ...

    def crops(self, step: int) -> list[Crop]:
        """What step `step` is computed from, on all ranks."""
        ...

    def reads(self, crop: Crop) -> bool:
        """Whether a step with this crop of `train` would read audio: not where all that it needs is kept."""
        ...

    def passes(self, step: int, share: Share) -> Iterator[Losses]:
        """`loss` to be minimized and the parts to be logged, of each pass over `micro_clips` of this worker's clips. They add up
        to those of one pass over all of them; the backward pass of each runs before the next is computed."""
        ...

    def held_out(self, step: int) -> HeldOut:
        """Losses of the held-out clips, with the codebooks if they are on at `step`."""
        ...


def places(num_clips: int, share: Share, micro_clips: int) -> list[list[int]]:
    """The places in a step's batch of `num_clips` that each pass of this worker computes; `micro_clips` 0: all in one."""
    mine = list(range(num_clips))[share.rank :: share.world_size]
    size = micro_clips or len(mine)
    return [mine[first : first + size] for first in range(0, len(mine), size)]


def shares(counts: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """What each pass holds of the frames, tokens or clips that the mean of a term is taken over, as its share of all passes: the
    mean of a pass times its share adds up to the mean of the batch. 0 where there are none at all."""
    totals = {name: sum(one[name] for one in counts) for name in counts[0]}
    return [{name: value / totals[name] if totals[name] else 0.0 for name, value in one.items()} for one in counts]


def shared(terms: Losses, share_of: Mapping[str, float]) -> Losses:
    """Each term times its share of the batch."""
    return {name: term * share_of[name] for name, term in terms.items()}


def drawn_crops(clips: ClipSet, phase: CodecPhase, step: int) -> tuple[np.random.Generator, list[Crop]]:
    """The crops of a step, and what its other numbers are drawn from."""
    generator = step_generator(phase.seed, phase.name, step)
    return generator, clips.draw_crops(generator, phase.num_clips, phase.crop_samples // UNIT)


def drawn_clips(clips: ClipSet, phase: CodecPhase, step: int) -> tuple[np.random.Generator, list[Crop]]:
    """The whole clips of a step, and what its other numbers are drawn from."""
    generator = step_generator(phase.seed, phase.name, step)
    return generator, clips.draw_neighbors(generator, phase.num_clips)


def first_crops(clips: ClipSet, phase: CodecPhase) -> list[Crop]:
    """The held-out crops: the start of each of the first clips."""
    max_units = phase.crop_samples // UNIT
    return [
        Crop(index, 0, min(int(clips.num_units[index]), max_units))
        for index in range(min(len(clips), phase.num_held_out))
    ]


def neighbors(crops: list[Crop]) -> list[tuple[Crop, Crop]]:
    """Each crop and the next one of another clip, both as long as the shorter of them."""
    pairs = [(crop, crops[(place + 1) % len(crops)]) for place, crop in enumerate(crops)]
    units = [min(first.num_units, second.num_units) for first, second in pairs]
    return [
        (first._replace(num_units=count), second._replace(num_units=count))
        for (first, second), count in zip(pairs, units, strict=True)
    ]


def mean(values: "Iterator[Tensor] | list[Tensor]") -> float:
    """Mean of scalar tensors, as a Python number."""
    return float(torch.stack(list(values)).mean())
