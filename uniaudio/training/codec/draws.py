"""The random numbers of a step of phases `reconstruction` and `decoder`: times, noise, contexts, and what is left out.

Reads    the generator of a step and its crops
Writes   one draw a crop: a flow time in 0..1, noise `[S, L]`, the length of a context in latents, …
"""

# Shapes: B crops, S latents (25 Hz), L latent channels

import copy

import numpy as np
import torch

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.codec.reconstruction import GROUPS
from uniaudio.stages.codec_phase import CodecPhase
from uniaudio.training.codec.clips import Crop
from uniaudio.training.codec.objective import LATENTS_PER_UNIT

# Length of a context prefix in training, in latents (released trainer).
CONTEXT_LATENTS = (32, 64)


class Draws:
    """Every random number of a step, drawn for the whole batch, so that the crops of a worker or a pass do not depend on the
    others."""

    def __init__(
        self,
        codec: ReasoningCodec,
        phase: CodecPhase,
        generator: np.random.Generator,
        crops: list[Crop],
        *,
        dropout: bool,
    ) -> None:
        num_crops, num_latents = len(crops), crops[0].num_units * LATENTS_PER_UNIT
        self.time = torch.from_numpy(generator.random(num_crops, dtype=np.float32)).to(codec.device)
        shape = (num_crops, num_latents, codec.config.scalar.latent_dim)
        self.noise = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32)).to(codec.device)
        with_context = bool(generator.random() < phase.context_probability) and dropout
        lengths = generator.integers(CONTEXT_LATENTS[0], CONTEXT_LATENTS[1] + 1, size=num_crops)
        # A crop always keeps half of its frames to be generated.
        self.num_context = [min(int(length), num_latents // 2) if with_context else 0 for length in lengths]
        keeps = generator.random(num_crops) >= phase.condition_dropout
        self.keeps_condition = torch.from_numpy(keeps | (not dropout)).to(codec.device)
        drops = generator.random((len(GROUPS), num_crops)) < phase.film_dropout
        self.film = (
            {group: torch.from_numpy(drops[row]).to(codec.device) for row, group in enumerate(GROUPS)}
            if dropout
            else None
        )
        told = (generator.random(num_crops) < phase.reasoning_condition) & dropout
        self.told_reasoning = torch.from_numpy(told).to(codec.device)

    def of(self, places: list[int]) -> "Draws":
        """The draws of the crops at `places` of the batch."""
        some = copy.copy(self)
        some.time, some.noise, some.keeps_condition = (
            self.time[places],
            self.noise[places],
            self.keeps_condition[places],
        )
        some.num_context = [self.num_context[place] for place in places]
        some.told_reasoning = self.told_reasoning[places]
        some.film = {group: drops[places] for group, drops in self.film.items()} if self.film else None
        return some
