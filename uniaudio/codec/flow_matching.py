"""Flow matching: the training loss on straight paths from noise to latents, and the Euler solver that walks them.

Reads    scalar latents `[B, T, L]`, a condition `[B, T, D]`, a mask `[B, T]` of `PADDING`, `CONTEXT`, `GENERATE`
Writes   a loss; or latents drawn from noise, given the condition and perhaps a context prefix
"""

# Shapes: B batch, T frames, L latent channels, D condition channels, P context frames

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from uniaudio_schemas.errors import UsageError

from uniaudio.codec.flow import FlowTransformer

PADDING, CONTEXT, GENERATE = 0, 1, 2
# Noise that is left at the end of a path.
SIGMA_MIN = 1e-4
# Weight of a frame in prediction and target, by mask value: padding hardly counts, context not at all.
FRAME_WEIGHTS = {PADDING: 0.01, CONTEXT: 0.0, GENERATE: 1.0}
# Both released callers fix it, whatever the user passes.
RELEASED_GUIDANCE = 1.5


class FlowMatching(nn.Module):
    """A velocity field with its loss and its solver; any batch size and any guidance."""

    def __init__(
        self, transformer: FlowTransformer, *, sigma_min: float = SIGMA_MIN, attend_padding: bool = False
    ) -> None:
        """`attend_padding` lets padding take part in attention during training, as the released trainer does."""
        super().__init__()
        self.transformer = transformer
        self.attend_padding = attend_padding
        self.sigma_min = sigma_min
        self.scale = transformer.config.latent_scale

    def loss(
        self,
        latents_BTL: Tensor,
        condition_BTD: Tensor,
        mask_BT: Tensor,
        *,
        context_BTL: Tensor | None = None,
        time_B: Tensor | None = None,
        noise_BTL: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Weighted squared error between predicted and true velocity of the scaled latents.

        The context is the true latent where the mask says so, unless given. Time and noise are drawn unless given.
        """
        if context_BTL is None:
            context_BTL = latents_BTL * (mask_BT == CONTEXT)[..., None]
        latents_BTL, context_BTL = self.scale * latents_BTL, self.scale * context_BTL
        if time_B is None:
            time_B = _draw(torch.rand, latents_BTL.shape[:1], latents_BTL, generator)
        if noise_BTL is None:
            noise_BTL = _draw(torch.randn, latents_BTL.shape, latents_BTL, generator)
        time_B11 = time_B.view(-1, 1, 1)
        noisy_BTL = self._on_path(noise_BTL, latents_BTL, time_B11)
        velocity_BTL = latents_BTL - (1 - self.sigma_min) * noise_BTL
        inputs_BTC = torch.cat([noisy_BTL, context_BTL, condition_BTD], dim=-1)
        predicted_BTL = self.transformer(
            inputs_BTC, time_B.flatten(), None if self.attend_padding else mask_BT != PADDING
        )
        weight_BT1 = frame_weights(mask_BT, latents_BTL.dtype)[..., None]
        error = (weight_BT1 * (predicted_BTL - velocity_BTL)).square().sum()
        return error / (weight_BT1.sum() * latents_BTL.shape[-1])

    @torch.no_grad()
    def sample(
        self,
        condition_BTD: Tensor,
        *,
        num_steps: int = 10,
        guidance: float = RELEASED_GUIDANCE,
        noise_BTL: Tensor | None = None,
        generator: torch.Generator | None = None,
        context_BPL: Tensor | None = None,
    ) -> Tensor:
        """Latents `[B, T, L]`; their first P frames are the context itself.

        `guidance` 1.0 follows the condition alone, at half the cost. Unless given, noise is drawn on the generator's
        device.
        """
        if noise_BTL is None:
            shape = torch.Size((*condition_BTD.shape[:2], self.transformer.config.latent_dim))
            noise_BTL = _draw(torch.randn, shape, condition_BTD, generator)
        scaled_BPL = None if context_BPL is None else self.scale * context_BPL
        scaled_BTL = self.solve(
            noise_BTL, condition_BTD, num_steps=num_steps, guidance=guidance, context_BPL=scaled_BPL
        )
        latents_BTL = scaled_BTL / self.scale
        if context_BPL is not None:
            latents_BTL[:, : context_BPL.shape[1]] = context_BPL
        return latents_BTL

    @torch.no_grad()
    def solve(
        self,
        noise_BTL: Tensor,
        condition_BTD: Tensor,
        *,
        num_steps: int,
        guidance: float,
        context_BPL: Tensor | None = None,
    ) -> Tensor:
        """Euler steps from noise at time 0 to scaled latents at time 1, the scaled context prefix held on its own path."""
        if num_steps < 1:
            raise UsageError(f"`num_steps` must be at least 1, but is {num_steps}.")
        num_context = 0 if context_BPL is None else context_BPL.shape[1]
        context_BTL = torch.zeros_like(noise_BTL)
        if context_BPL is not None:
            context_BTL[:, :num_context] = context_BPL
        times = torch.linspace(0, 1, num_steps + 1, device=noise_BTL.device)
        x_BTL = noise_BTL.clone()
        for now, then in itertools.pairwise(times):
            on_path_BTL = self._on_path(noise_BTL, context_BTL, now)
            x_BTL[:, :num_context] = on_path_BTL[:, :num_context]
            x_BTL = x_BTL + (then - now) * self._guided(x_BTL, context_BTL, condition_BTD, now, guidance)
        return x_BTL

    def _guided(
        self, x_BTL: Tensor, context_BTL: Tensor, condition_BTD: Tensor, time: Tensor, guidance: float
    ) -> Tensor:
        """Velocity, pushed away from the unconditional one by `guidance`."""
        inputs = torch.cat([x_BTL, context_BTL, condition_BTD], dim=-1)
        if guidance == 1.0:
            return self.transformer(inputs, time.expand(len(inputs)))
        without = torch.cat([x_BTL, context_BTL, torch.zeros_like(condition_BTD)], dim=-1)
        both = self.transformer(torch.cat([without, inputs]), time.expand(2 * len(inputs)))
        free_BTL, conditioned_BTL = both.chunk(2)
        return free_BTL + guidance * (conditioned_BTL - free_BTL)

    def _on_path(self, noise_BTL: Tensor, latents_BTL: Tensor, time: Tensor) -> Tensor:
        """The point of the straight path at `time`."""
        return (1 - (1 - self.sigma_min) * time) * noise_BTL + time * latents_BTL


def frame_weights(mask_BT: Tensor, dtype: torch.dtype) -> Tensor:
    """`[B, T]` mask -> `[B, T]` weight."""
    table = torch.tensor([FRAME_WEIGHTS[value] for value in (PADDING, CONTEXT, GENERATE)], device=mask_BT.device)
    return table.to(dtype)[mask_BT.long()]


def _draw(draw: Callable[..., Tensor], shape: torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Random numbers on the generator's device, moved to where `like` lives, so that a CPU seed holds on a GPU."""
    device = like.device if generator is None else generator.device
    return draw(shape, generator=generator, device=device, dtype=torch.float32).to(like.device, like.dtype)
