"""Windows as the released codec cuts them, its defects included, so that its checkpoints give its tokens.

Reads    a waveform `[N]` at 24 kHz, or reconstruction codes `[T, Q]`
Writes   codes of tiled 30 s windows; a waveform cross-faded from 20 s windows

The defects: a short clip is encoded as a loop of itself; a token too many describes looped audio; the context of a
decoded window is the previous window's tail, taken from the wrong time; waveform hop and code hop differ, so that time
drifts. The default of this project has none of them.
"""

# Shapes: K windows, N samples, R reasoning frames, T reconstruction frames, Q codebooks, L latent channels,
#         P context latents

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from uniaudio.audio.resample import resample_tensor
from uniaudio.codec.encoding import eval_mode, settled_numerics
from uniaudio.codec.film import draw_drops
from uniaudio.codec.flow_matching import RELEASED_GUIDANCE

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.decoding import DecodeSettings

SAMPLE_RATE = 24_000
ENCODE_WINDOW_SAMPLES = 30 * SAMPLE_RATE
DECODE_WINDOW_SAMPLES = 20 * SAMPLE_RATE
# Guarantees whole encoder frames at 16 kHz; the encoders cut it off again.
EXTRA_SAMPLES = 240
WINDOWS_PER_BATCH = 6
RECONSTRUCTION_HOP = 1920
REASONING_FRAMES_PER_S = 5
RECONSTRUCTION_FRAMES_PER_S = 12.5

EncodeWindows = Callable[[Tensor], tuple[Tensor, Tensor]]
"""`[K, N]` -> reasoning codes `[K, R, Q]`, reconstruction codes `[K, T, Q]`."""
SampleWindow = Callable[[Tensor, Tensor | None, int], Tensor]
"""Codes `[1, T, Q]`, context `[1, P, L]` or none, index of the window -> latents `[1, 2 T, L]`."""
DecodeLatents = Callable[[Tensor], Tensor]
"""Latents `[1, T, L]` -> waveform `[1, N]`."""


def encode_compat(
    waveform_N: Tensor, encode_windows: EncodeWindows, *, window_samples: int = ENCODE_WINDOW_SAMPLES
) -> tuple[Tensor, Tensor]:
    """Reasoning codes `[R, Q]` and reconstruction codes `[T, Q]` as the released tokenizer counts and cuts them."""
    windows_KN = tile_windows(waveform_N, window_samples)
    reasoning: list[Tensor] = []
    reconstruction: list[Tensor] = []
    for batch in windows_KN.split(WINDOWS_PER_BATCH):
        reasoning_KRQ, reconstruction_KTQ = encode_windows(batch)
        reasoning.append(reasoning_KRQ.flatten(0, 1))
        reconstruction.append(reconstruction_KTQ.flatten(0, 1))
    num_samples = len(waveform_N)
    num_reasoning = num_compat_frames(num_samples, REASONING_FRAMES_PER_S)
    num_reconstruction = num_compat_frames(num_samples, RECONSTRUCTION_FRAMES_PER_S)
    return torch.cat(reasoning)[:num_reasoning], torch.cat(reconstruction)[:num_reconstruction]


def decode_compat(
    codes_TQ: Tensor,
    sample_window: SampleWindow,
    decode_latents: DecodeLatents,
    *,
    window_samples: int = DECODE_WINDOW_SAMPLES,
) -> Tensor:
    """Waveform `[N]` from reconstruction codes alone, window after window, each led in by the tail of the last one."""
    window_frames = window_samples // RECONSTRUCTION_HOP
    hop_frames = window_frames // 4 * 3
    overlap_frames = window_frames - hop_frames
    tiled_TQ = tile_codes(codes_TQ, window_frames, hop_frames)
    latents: list[Tensor] = []
    for first in range(0, len(tiled_TQ) - hop_frames, hop_frames):
        # Half as many latents as codes overlap, though latents run at twice their rate: the released defect.
        context_1PL = latents[-1][:, -(overlap_frames // 2) :] if latents else None
        latents.append(sample_window(tiled_TQ[None, first : first + window_frames], context_1PL, len(latents)))
    pieces = [decode_latents(window)[0, :window_samples] for window in latents]
    waveform_N = crossfade(pieces, window_samples - window_samples // 4 * 3)
    return waveform_N[: int(len(codes_TQ) / RECONSTRUCTION_FRAMES_PER_S * SAMPLE_RATE)]


def compat_codes(
    codec: "ReasoningCodec",
    windows_KN: Tensor,
    *,
    drop_probability: float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """`[K, N]` windows of any length -> codes `[K, R, Q]`, `[K, T, Q]`.

    The released codec drops the reasoning condition of each group and item with probability 0.2 even when it encodes
    (`RELEASED_DROP_PROBABILITY`), so that its codes are random; by default none is dropped.
    """
    features = codec.encoders(windows_KN)
    reasoning_KRQ = codec.reasoning.quantizer.encode_indices(codec.reasoning.hidden(features))
    dropped = {
        group: draw_drops(len(windows_KN), drop_probability, generator=generator).to(windows_KN.device)
        for group in codec.reconstruction.film
    }
    reasoning_KRD = codec.reasoning.quantizer.decode(reasoning_KRQ)
    return reasoning_KRQ, codec.reconstruction.encode(codec.reconstruction.modulate(features, reasoning_KRD, dropped))


def compat_condition(codec: "ReasoningCodec", codes_1TQ: Tensor, reasoning_1RQ: Tensor | None = None) -> Tensor:
    """Flow condition `[1, 2 T, D]`; the reasoning codes are optional, and no released trainer ever added them."""
    branch = codec.reconstruction
    reasoning_1TD = None
    if reasoning_1RQ is not None:
        reasoning_1TD = branch.reasoning_condition(codec.reasoning.quantizer.decode(reasoning_1RQ), codes_1TQ.shape[1])
    condition_1TD = branch.condition(codes_1TQ, reasoning_1TD)
    return condition_1TD.repeat_interleave(2, dim=1)


def sample_window(
    codec: "ReasoningCodec",
    codes_1TQ: Tensor,
    context_1PL: Tensor | None,
    *,
    reasoning_1RQ: Tensor | None = None,
    noise_1SL: Tensor | None = None,
    num_steps: int = 10,
    guidance: float = RELEASED_GUIDANCE,
) -> Tensor:
    """Latents `[1, 2 T, L]` of one decoding window."""
    condition_1SD = compat_condition(codec, codes_1TQ, reasoning_1RQ)
    return codec.flow.sample(
        condition_1SD, num_steps=num_steps, guidance=guidance, noise_BTL=noise_1SL, context_BPL=context_1PL
    )


@torch.inference_mode()
def compat_clip(codec: "ReasoningCodec", samples_CN: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Codes `[R, Q]` and `[T, Q]` of `[C, N]`; nothing is dropped, so that they are no matter of chance."""
    waveform_N = resample_tensor(samples_CN.float().mean(dim=0), sample_rate, SAMPLE_RATE)
    with settled_numerics(codec), _whisper_of_30_s(codec):
        return encode_compat(waveform_N, lambda windows_KN: compat_codes(codec, windows_KN.to(codec.device)))


@torch.inference_mode()
def decode_clip(codec: "ReasoningCodec", codes_TQ: Tensor, settings: "DecodeSettings") -> Tensor:
    """Waveform `[T * 1920]` of `[T, Q]`, with noise from the seed, window after window."""
    generator = torch.Generator().manual_seed(settings.seed)

    def sample(window_1TQ: Tensor, context_1PL: Tensor | None, _: int) -> Tensor:
        noise_1SL = torch.randn(1, 2 * window_1TQ.shape[1], codec.config.scalar.latent_dim, generator=generator)
        return sample_window(
            codec,
            window_1TQ,
            context_1PL,
            noise_1SL=noise_1SL.to(codec.device),
            num_steps=settings.steps,
            guidance=settings.guidance,
        )

    with eval_mode(codec):
        return decode_compat(codes_TQ.to(codec.device), sample, codec.scalar.decode).cpu()


@contextmanager
def _whisper_of_30_s(codec: "ReasoningCodec") -> Iterator[None]:
    """Whisper hears exactly 30 s of every window: the released one accepts nothing else."""
    whisper: Any = codec.encoders.whisper
    before, whisper.padded = whisper.padded, True
    try:
        yield
    finally:
        whisper.padded = before


def num_compat_frames(num_samples: int, frames_per_s: float) -> int:
    """Frames the released tokenizer keeps: one more than the whole ones, even where nothing is left over."""
    return int(num_samples / SAMPLE_RATE * frames_per_s) + 1


def tile_windows(waveform_N: Tensor, window_samples: int = ENCODE_WINDOW_SAMPLES) -> Tensor:
    """`[N]` -> `[K, window_samples + 240]`: doubled until one window is full, doubled once more, and cut."""
    padded_samples = window_samples + EXTRA_SAMPLES
    while len(waveform_N) < padded_samples:
        waveform_N = waveform_N.repeat(2)
    num_windows = len(waveform_N) // window_samples + 1
    return waveform_N.repeat(2)[: num_windows * padded_samples].view(num_windows, padded_samples)


def tile_codes(codes_TQ: Tensor, window_frames: int, hop_frames: int) -> Tensor:
    """`[T, Q]` repeated until whole windows are full: at least one, then a hop each."""
    overlap_frames = window_frames - hop_frames
    codes_TQ = _repeat_to(codes_TQ, max(len(codes_TQ), window_frames))
    num_hops = -(-(len(codes_TQ) - overlap_frames) // hop_frames)
    return _repeat_to(codes_TQ, num_hops * hop_frames + overlap_frames)


def crossfade(pieces: list[Tensor], overlap_samples: int) -> Tensor:
    """Join `[N]` pieces with linear ramps over `overlap_samples`."""
    waveform_N = pieces[0].clone()
    rising = torch.linspace(0, 1, overlap_samples, dtype=waveform_N.dtype, device=waveform_N.device)
    for piece in pieces[1:]:
        overlap = waveform_N[-overlap_samples:] * (1 - rising) + piece[:overlap_samples] * rising
        waveform_N = torch.cat([waveform_N[:-overlap_samples], overlap, piece[overlap_samples:]])
    return waveform_N


def _repeat_to(codes_TQ: Tensor, num_frames: int) -> Tensor:
    num_repeats = -(-num_frames // len(codes_TQ))
    return codes_TQ.repeat(num_repeats, 1)[:num_frames]
