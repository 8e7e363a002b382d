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

from uniaudio.audio.frames import RECONSTRUCTION_HOP
from uniaudio.codec.blocks import Blocks
from uniaudio.codec.config.parts import FlowConfig
from uniaudio.codec.config.presets import LATENT_HOP
from uniaudio.codec.flow import FlowTransformer

LATENTS_PER_FRAME = RECONSTRUCTION_HOP // LATENT_HOP

PADDING, CONTEXT, GENERATE = 0, 1, 2
# Noise that is left at the end of a path.
SIGMA_MIN = 1e-4
# Weight of a frame in prediction and target, by mask value: padding hardly counts, context not at all.
FRAME_WEIGHTS = {PADDING: 0.01, CONTEXT: 0.0, GENERATE: 1.0}
# Both released callers fix it, whatever the user passes.
RELEASED_GUIDANCE = 1.5
SMALLEST_DEVIATION = 1e-3
MEAN_KERNEL_SIZE, MEAN_FF_MULTIPLIER = 7, 3


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
        config = transformer.config
        self.scaling = LatentScaling(config)
        self.mean = MeanNetwork(config) if config.num_mean_layers else None

    def loss(
        self,
        latents_BTL: Tensor,
        condition_BTD: Tensor,
        mask_BT: Tensor,
        *,
        context_BTL: Tensor | None = None,
        time_B: Tensor | None = None,
        noise_BTL: Tensor | None = None,
        mean_BTL: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Weighted squared error between predicted and true velocity of the scaled latents, less their mean if one was
        regressed.

        The context is the true latent where the mask says so, unless given. Time and noise are drawn unless given.
        """
        latents_BTL = self.scaling(latents_BTL)
        if mean_BTL is not None:
            latents_BTL = latents_BTL - mean_BTL
        context_BTL = (
            latents_BTL * (mask_BT == CONTEXT)[..., None] if context_BTL is None else self.scaling(context_BTL)
        )
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
        mean_error: Tensor = error / (weight_BT1.sum() * latents_BTL.shape[-1])
        return mean_error

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
        """Latents `[B, T, L]`; their first P frames are the context itself. No step at all leaves the mean alone.

        `guidance` 1.0 follows the condition alone, at half the cost. Unless given, noise is drawn on the generator's
        device.
        """
        if noise_BTL is None:
            shape = torch.Size((*condition_BTD.shape[:2], self.transformer.config.latent_dim))
            noise_BTL = _draw(torch.randn, shape, condition_BTD, generator)
        mean_BTL = torch.zeros_like(noise_BTL) if self.mean is None else self.mean(condition_BTD)
        beside_BPL = None if context_BPL is None else self.scaling(context_BPL) - mean_BTL[:, : context_BPL.shape[1]]
        if num_steps == 0 and self.mean is not None:
            beside_BTL = torch.zeros_like(noise_BTL)
        else:
            beside_BTL = self.solve(
                noise_BTL, condition_BTD, num_steps=num_steps, guidance=guidance, context_BPL=beside_BPL
            )
        latents_BTL = self.scaling.undo(beside_BTL + mean_BTL)
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
            alone_BTL: Tensor = self.transformer(inputs, time.expand(len(inputs)))
            return alone_BTL
        without = torch.cat([x_BTL, context_BTL, torch.zeros_like(condition_BTD)], dim=-1)
        both: Tensor = self.transformer(torch.cat([without, inputs]), time.expand(2 * len(inputs)))
        free_BTL, conditioned_BTL = both.chunk(2)
        return free_BTL + guidance * (conditioned_BTL - free_BTL)

    def _on_path(self, noise_BTL: Tensor, latents_BTL: Tensor, time: Tensor) -> Tensor:
        """The point of the straight path at `time`."""
        return (1 - (1 - self.sigma_min) * time) * noise_BTL + time * latents_BTL


class LatentScaling(nn.Module):
    """Latents to numbers about as large as the noise: by one factor, or channel by channel."""

    mean_L: Tensor
    deviation_L: Tensor

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.factor, self.by_channel = config.latent_scale, config.normalizes_latents
        if self.by_channel:
            self.register_buffer("mean_L", torch.zeros(config.latent_dim))
            self.register_buffer("deviation_L", torch.ones(config.latent_dim))

    def forward(self, latents_BTL: Tensor) -> Tensor:
        """`[B, T, L]` -> `[B, T, L]`."""
        return (latents_BTL - self.mean_L) / self.deviation_L if self.by_channel else self.factor * latents_BTL

    def undo(self, scaled_BTL: Tensor) -> Tensor:
        """The inverse of `forward`."""
        return scaled_BTL * self.deviation_L + self.mean_L if self.by_channel else scaled_BTL / self.factor

    @torch.no_grad()
    def fit(self, latents_NL: Tensor) -> None:
        """Take mean and deviation of each channel from latents of the corpus."""
        self.mean_L.copy_(latents_NL.mean(dim=0))
        # A channel that never moves stays what it is.
        self.deviation_L.copy_(latents_NL.std(dim=0).clamp(min=SMALLEST_DEVIATION))


class MeanNetwork(nn.Module):
    """The mean of the scaled latents, regressed from the condition: its squared error is least there."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.project_in = nn.Linear(config.condition_dim, config.mean_dim)
        self.norm_in = nn.LayerNorm(config.mean_dim)
        self.blocks = Blocks(config.mean_dim, config.num_mean_layers, MEAN_KERNEL_SIZE, MEAN_FF_MULTIPLIER)
        self.norm_out = nn.LayerNorm(config.mean_dim)
        self.project_out = nn.Linear(config.mean_dim, LATENTS_PER_FRAME * config.latent_dim)
        self.direct = nn.Linear(config.condition_dim, LATENTS_PER_FRAME * config.latent_dim)

    def forward(self, condition_BTD: Tensor) -> Tensor:
        """`[B, T, D]`, every vector `LATENTS_PER_FRAME` times, -> `[B, T, L]`: computed once for all of them."""
        # Copied: oneDNN's weight gradient of rows with gaps between them takes a hundred times as long.
        frames_BtD = condition_BTD[:, ::LATENTS_PER_FRAME].contiguous()
        x_BtD = self.norm_in(self.project_in(frames_BtD))
        out_BtL = self.direct(frames_BtD) + self.project_out(self.norm_out(self.blocks(x_BtD)))
        repeated_BTL: Tensor = out_BtL.unflatten(-1, (LATENTS_PER_FRAME, -1)).flatten(1, 2)[:, : condition_BTD.shape[1]]
        return repeated_BTL


def frame_weights(mask_BT: Tensor, dtype: torch.dtype) -> Tensor:
    """`[B, T]` mask -> `[B, T]` weight."""
    table = torch.tensor([FRAME_WEIGHTS[value] for value in (PADDING, CONTEXT, GENERATE)], device=mask_BT.device)
    return table.to(dtype)[mask_BT.long()]


def _draw(draw: Callable[..., Tensor], shape: torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Random numbers on the generator's device, moved to where `like` lives, so that a CPU seed holds on a GPU."""
    device = like.device if generator is None else generator.device
    return draw(shape, generator=generator, device=device, dtype=torch.float32).to(like.device, like.dtype)
