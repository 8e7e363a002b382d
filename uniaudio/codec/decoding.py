"""Codes to audio: a flow draws latents window by window, the autoencoder's decoder turns them into samples as they come.

A clip longer than a window is drawn in windows that overlap; a window starts from the latents the one before gave for
the same frames, so that time never drifts. That decoder sees as many latents beside a piece as it reaches, so
that its windows leave no seam at all. Every clip gets its own noise from the seed, so that its audio does not depend on
what else is decoded; clips of equal length share a batch. Nothing looks further ahead than its window, so that codes
may still be written while the first windows sound: the audio is that of the whole clip, bit for bit.
"""

# Shapes: B batch, T code frames (12.5 Hz), R reasoning frames (5 Hz), S latent frames (25 Hz), L latent channels,
#         N samples, n samples of a piece, Q levels, D width

import numbers
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP
from uniaudio.codec.config.presets import LATENT_HOP
from uniaudio.codec.encoding import eval_mode
from uniaudio.codec.flow_matching import LATENTS_PER_FRAME, RELEASED_GUIDANCE
from uniaudio.products import EveryLinear

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec

# Latents (240 s) in one batch: bounds memory, not results beyond rounding.
BATCH_LATENTS = 6_000
# Far beyond any use; steps of it would end in infinity.
MAX_GUIDANCE = 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeSettings:
    """How codes become audio; a value that cannot be is a `UsageError`."""

    steps: int = 10
    """Euler steps of the flow; 0: the mean of the latents alone, where the codec regresses one."""
    guidance: float = RELEASED_GUIDANCE
    """1.0 follows the condition alone, at half the cost; more pushes away from the unconditional."""
    seed: int = 0
    """Seed of the noise, 0 to 2^64 - 1. Every clip starts from the same noise."""
    window_latents: int = 0
    """Latents (25 Hz) drawn at once; 0: the codec's own. Short ones sound sooner and cost more."""

    def __post_init__(self) -> None:
        for name, least, most in (("steps", 1, None), ("seed", 0, 2**64 - 1), ("window_latents", 0, None)):
            value = getattr(self, name)
            is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            if not is_whole or value < (0 if name == "steps" else least) or (most is not None and value > most):
                to = "or more" if most is None else f"to {most}"
                raise UsageError(f"`{name}` must be a whole number, {least} {to}, but is {value!r}.")
        real = isinstance(self.guidance, numbers.Real) and not isinstance(self.guidance, bool)
        if not real or not abs(self.guidance) <= MAX_GUIDANCE:  # nor is NaN
            raise UsageError(f"`guidance` must be a number, at most {MAX_GUIDANCE:g}, but is {self.guidance!r}.")


@torch.inference_mode()
def decode_clips(
    codec: "ReasoningCodec",
    codes: Sequence[Tensor],
    settings: DecodeSettings,
    reasoning: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """`[T, Q]` int64 each, and perhaps `[R, Q]` each -> `[T * 1920]` float32 each, on the CPU."""
    waveforms: dict[int, Tensor] = {}
    for indices in _batches([len(clip_TQ) for clip_TQ in codes]):
        codes_BTQ = torch.stack([codes[index] for index in indices])
        reasoning_BRQ = None if reasoning is None else torch.stack([reasoning[index] for index in indices])
        waveform_BN = torch.cat(list(decode_pieces(codec, [codes_BTQ], settings, reasoning_BRQ)), dim=1)
        waveforms.update(zip(indices, waveform_BN, strict=True))
    return [waveforms[index] for index in range(len(codes))]


def decode_pieces(
    codec: "ReasoningCodec",
    blocks: Iterable[Tensor],
    settings: DecodeSettings,
    reasoning_BRQ: Tensor | None = None,
) -> Iterator[Tensor]:
    """`[B, n]` on the CPU, one piece after each window of the flow, `T * 1920` samples in all.

    `blocks`: the codes `[B, t, Q]` as they come, T frames in all; a window is drawn when the frame behind it is there.
    """
    left, right = codec.scalar.reach
    num_out, start = 0, 0  # latents whose audio is out; the first one that is held
    held_BSL: Tensor | None = None
    for new_BSL, is_last in draw_latents(codec, blocks, settings, reasoning_BRQ):
        held_BSL = new_BSL if held_BSL is None else torch.cat([held_BSL, new_BSL], dim=1)
        last = start + held_BSL.shape[1]
        ready = last if is_last else last - right
        with torch.inference_mode(), eval_mode(codec):
            waveform_BN = codec.scalar.decode(held_BSL)
        yield waveform_BN[:, (num_out - start) * LATENT_HOP : (ready - start) * LATENT_HOP].cpu()
        dropped = max(0, ready - left - start)
        held_BSL, num_out, start = held_BSL[:, dropped:], ready, start + dropped


def draw_latents(
    codec: "ReasoningCodec",
    blocks: Iterable[Tensor],
    settings: DecodeSettings,
    reasoning_BRQ: Tensor | None = None,
) -> Iterator[tuple[Tensor, bool]]:
    """`[B, s, L]`, the new latents of each window, and whether it is the last; `T * 2` in all."""
    window, context = settings.window_latents or codec.config.decode_window_latents, codec.config.context_latents
    noise = DecodeNoise(codec.config.scalar.latent_dim, settings.seed)
    context_BPL: Tensor | None = None
    for first, codes_BTQ, is_last in _windows(blocks, window, context):
        last = first + codes_BTQ.shape[1] * LATENTS_PER_FRAME
        frames = slice(first // LATENTS_PER_FRAME, last // LATENTS_PER_FRAME)
        noise_SL = noise.between(first, last).to(codec.device)
        with torch.inference_mode(), eval_mode(codec), EveryLinear():
            condition_BTD = codec.reconstruction.condition(
                codes_BTQ.to(codec.device), _reasoning(codec, reasoning_BRQ, frames)
            )
            latents_BSL = codec.flow.sample(
                condition_BTD.repeat_interleave(LATENTS_PER_FRAME, dim=1),
                num_steps=settings.steps,
                guidance=settings.guidance,
                noise_BTL=noise_SL.expand(len(codes_BTQ), -1, -1).contiguous(),
                context_BPL=context_BPL,
            )
        # The next window starts here: its context are the latents of the same frames.
        context_BPL = latents_BSL[:, window - context :].contiguous()
        yield latents_BSL[:, context if first else 0 :], is_last


def _windows(blocks: Iterable[Tensor], window: int, context: int) -> Iterator[tuple[int, Tensor, bool]]:
    """First latent, codes `[B, t, Q]`, and whether it is the last: each window starts `context` latents before the end of
    the one before."""
    num_frames, step = window // LATENTS_PER_FRAME, (window - context) // LATENTS_PER_FRAME
    first = 0
    held_BTQ: Tensor | None = None
    for block_BTQ in blocks:
        held_BTQ = block_BTQ if held_BTQ is None else torch.cat([held_BTQ, block_BTQ], dim=1)
        # With a frame behind it: else it may be the last one, which ends otherwise.
        while held_BTQ.shape[1] > num_frames:
            yield first, held_BTQ[:, :num_frames], False
            held_BTQ, first = held_BTQ[:, step:], first + window - context
    if held_BTQ is not None:
        yield first, held_BTQ, True


class DecodeNoise:
    """Normal numbers `[S, L]` that `seed` and the place of a latent decide; the past is forgotten."""

    def __init__(self, latent_dim: int, seed: int) -> None:
        self.latent_dim = latent_dim
        self._generator = torch.Generator().manual_seed(int(seed))
        self._first, self._flat = 0, torch.zeros(0)

    def between(self, first: int, last: int) -> Tensor:
        """`[last - first, L]`; `first` never goes back."""
        num_missing = (last - self._first) * self.latent_dim - len(self._flat)
        # Torch draws in blocks of 16, and a last block that is not full otherwise.
        new = torch.randn(-(-max(0, num_missing) // 16) * 16, generator=self._generator)
        self._flat = torch.cat([self._flat, new])[(first - self._first) * self.latent_dim :]
        self._first = first
        return self._flat[: (last - first) * self.latent_dim].view(-1, self.latent_dim)


def _reasoning(codec: "ReasoningCodec", reasoning_BRQ: Tensor | None, frames: slice) -> Tensor | None:
    """What the reasoning codes add to the condition of some frames: `[B, T, D]`."""
    if reasoning_BRQ is None:
        return None
    source_T = torch.arange(frames.start, frames.stop) * RECONSTRUCTION_HOP // REASONING_HOP
    vectors_BTD = codec.reasoning.quantizer.decode(reasoning_BRQ[:, source_T].to(codec.device))
    adapted_BTD: Tensor = codec.reconstruction.reasoning_adaptor(vectors_BTD)
    return adapted_BTD


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
