"""Codes to audio: a flow draws latents window by window, the scalar decoder turns them into samples.

A clip longer than a window is drawn in windows that overlap; a window starts from the latents the one before gave for
the same frames, so that time never drifts. Every clip gets its own noise from the seed, so that its audio does not
depend on what else is decoded; clips of equal length share a batch.
"""

# Shapes: B batch, T code frames (12.5 Hz), S latent frames (25 Hz), L latent channels, N samples, Q levels, D width

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from uniaudio.audio.frames import RECONSTRUCTION_HOP
from uniaudio.codec.config import LATENT_HOP
from uniaudio.codec.encoding import eval_mode

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec

LATENTS_PER_FRAME = RECONSTRUCTION_HOP // LATENT_HOP
# Latents (240 s) in one batch: bounds memory, not results beyond rounding.
BATCH_LATENTS = 6_000


@torch.inference_mode()
def decode_clips(
    codec: "ReasoningCodec", codes: Sequence[Tensor], *, steps: int, guidance: float, seed: int
) -> list[Tensor]:
    """`[T, Q]` int64 each -> `[T * 1920]` float32 each, on the CPU."""
    waveforms: dict[int, Tensor] = {}
    with eval_mode(codec):
        for chosen in _batches([len(clip_TQ) for clip_TQ in codes]):
            codes_BTQ = torch.stack([codes[index] for index in chosen]).to(codec.device)
            latents_BSL = draw_latents(codec, codes_BTQ, steps=steps, guidance=guidance, seed=seed)
            waveform_BN = latents_to_waveform(codec, latents_BSL)
            waveforms.update(zip(chosen, waveform_BN.cpu(), strict=True))
    return [waveforms[index] for index in range(len(codes))]


def draw_latents(codec: "ReasoningCodec", codes_BTQ: Tensor, *, steps: int, guidance: float, seed: int) -> Tensor:
    """`[B, T, Q]` -> `[B, S, L]`."""
    condition_BSD = codec.reconstruction.condition(codes_BTQ).repeat_interleave(LATENTS_PER_FRAME, dim=1)
    num_latents = condition_BSD.shape[1]
    noise_SL = torch.randn(num_latents, codec.config.scalar.latent_dim, generator=torch.Generator().manual_seed(seed))
    noise_BSL = noise_SL.to(codec.device).expand(len(codes_BTQ), -1, -1)
    latents_BSL = torch.empty_like(noise_BSL)
    window, context = codec.config.decode_window_latents, codec.config.context_latents
    for first in window_starts(num_latents, window, context):
        last = min(first + window, num_latents)
        latents_BSL[:, first:last] = codec.flow.sample(
            condition_BSD[:, first:last],
            num_steps=steps,
            guidance=guidance,
            noise_BTL=noise_BSL[:, first:last].contiguous(),
            context_BPL=latents_BSL[:, first : first + context] if first else None,
        )
    return latents_BSL


def latents_to_waveform(codec: "ReasoningCodec", latents_BSL: Tensor) -> Tensor:
    """`[B, S, L]` -> `[B, S * 960]`, in windows whose overlaps are cross-faded linearly."""
    window, context = codec.config.decode_window_latents, codec.config.context_latents
    waveform_BN = torch.zeros(len(latents_BSL), latents_BSL.shape[1] * LATENT_HOP, device=latents_BSL.device)
    rising_N = torch.linspace(0, 1, context * LATENT_HOP, device=latents_BSL.device)
    for first in window_starts(latents_BSL.shape[1], window, context):
        piece_BN = codec.scalar.decode(latents_BSL[:, first : first + window])
        start, overlap = first * LATENT_HOP, len(rising_N) if first else 0
        shared_BN = waveform_BN[:, start : start + overlap]
        mixed_BN = shared_BN * (1 - rising_N[:overlap]) + piece_BN[:, :overlap] * rising_N[:overlap]
        waveform_BN[:, start : start + overlap] = mixed_BN
        waveform_BN[:, start + overlap : start + piece_BN.shape[1]] = piece_BN[:, overlap:]
    return waveform_BN


def window_starts(num_latents: int, window: int, context: int) -> range:
    """First latents of the windows: each starts `context` latents before the end of the one before."""
    return range(0, max(1, num_latents - context), window - context)


def _batches(num_frames: list[int]) -> list[list[int]]:
    """Indices of clips of equal length, at most `BATCH_LATENTS` together."""
    groups: dict[int, list[int]] = defaultdict(list)
    for index, count in enumerate(num_frames):
        groups[count].append(index)
    batches: list[list[int]] = []
    for count, members in sorted(groups.items()):
        size = max(1, BATCH_LATENTS // (count * LATENTS_PER_FRAME))
        batches += [members[first : first + size] for first in range(0, len(members), size)]
    return batches
