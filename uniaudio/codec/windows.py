"""Audio of any rate and channels, whole or in blocks, to the windows that encoding computes.

Reads    `[N]` or `[C, N]` floating point at 1 to 768 kHz, full scale 1
Writes   windows `[n]` float32 mono at 24 kHz: all of one length but the last, which is padded to its own 0.4 s bucket

Every step is a function of the samples alone, never of the blocks they came in: the rate is changed in pieces of 30 s
that see the same neighbors however the audio is cut, so that two hours of audio need the memory of a minute.
"""

# Shapes: C channels, N samples, n samples of a block, piece or window

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import SAMPLE_RATE, padded_length, resampled_length
from uniaudio.audio.read import MAX_RATE, MIN_RATE
from uniaudio.audio.resample import half_width, resample_tensor

# More is taken for `[N, C]`, the wrong way around.
MAX_CHANNELS = 32
# 40 dB above full scale: integers that were not divided by 32,768, not audio.
MAX_AMPLITUDE = 100.0
# Whole samples at every integer rate.
PIECE_S = 30
_BLOCK_SAMPLES = 1 << 20
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_rate(sample_rate: int) -> None:
    """`UsageError` for a rate that nobody records at, or that is no integer."""
    if not isinstance(sample_rate, int | np.integer) or not MIN_RATE <= sample_rate <= MAX_RATE:
        raise UsageError(f"`sample_rate` must be {MIN_RATE} to {MAX_RATE} Hz, but is {sample_rate!r}.")


def check_clip(clip: np.ndarray | Tensor, name: int | str) -> Tensor:
    """`[C, N]` on the CPU, as it was given; `UsageError` names the clip and what is wrong with it."""
    samples = _tensor(clip, f"Clip {name}")
    if samples.dim() not in (1, 2):
        raise UsageError(f"Clip {name} must be audio [N] or [C, N], but has shape {list(samples.shape)}.")
    samples_CN = samples[None] if samples.dim() == 1 else samples
    for block_Cn in samples_CN.split(_BLOCK_SAMPLES, dim=1):
        _check_block(block_Cn, f"Clip {name}")
    return samples_CN


def num_samples_24k(samples_CN: Tensor, sample_rate: int) -> int:
    """Samples at 24 kHz of a checked clip."""
    return resampled_length(samples_CN.shape[-1], sample_rate, SAMPLE_RATE)


def clip_windows(samples_CN: Tensor, sample_rate: int, window_samples: int) -> Iterator[Tensor]:
    """The windows of a checked clip, each made when it is asked for."""
    blocks = (_mono(block_Cn) for block_Cn in samples_CN.split(_BLOCK_SAMPLES, dim=1))
    return _windows(blocks, sample_rate, window_samples)


def block_windows(
    blocks: Iterable[np.ndarray | Tensor], sample_rate: int, window_samples: int, counted: list[int]
) -> Iterator[Tensor]:
    """The windows of audio that comes in blocks `[n]` or `[C, n]`; `counted` gets the samples of each block."""

    def checked() -> Iterator[Tensor]:
        for block in blocks:
            samples_Cn = _tensor(block, "A block")
            samples_Cn = samples_Cn[None] if samples_Cn.dim() == 1 else samples_Cn
            _check_block(samples_Cn, "A block")
            counted.append(samples_Cn.shape[1])
            yield _mono(samples_Cn)

    check_rate(sample_rate)
    return _windows(checked(), sample_rate, window_samples)


def resampled(blocks: Iterable[Tensor], sample_rate: int) -> Iterator[Tensor]:
    """`[n]` blocks at `sample_rate` -> `[n]` pieces at 24 kHz, `ceil(N * 24000 / sample_rate)` samples in all."""
    if sample_rate == SAMPLE_RATE:
        yield from blocks
        return
    piece, (margin, margin_24k) = PIECE_S * sample_rate, _margins(sample_rate)
    # Samples before the piece that its filter sees, then the piece, then what follows it.
    parts, num_waiting, before = list[Tensor](), 0, 0
    for block_n in blocks:
        parts.append(block_n)
        num_waiting += len(block_n)
        if num_waiting <= before + piece + margin:
            continue
        buffered = torch.cat(parts)
        while len(buffered) > before + piece + margin:
            out = resample_tensor(buffered[: before + piece + margin], sample_rate, SAMPLE_RATE)
            first = margin_24k if before else 0
            yield out[first : first + PIECE_S * SAMPLE_RATE]
            buffered, before = buffered[before + piece - margin :], margin
        parts, num_waiting = [buffered], len(buffered)
    if parts:
        yield resample_tensor(torch.cat(parts), sample_rate, SAMPLE_RATE)[margin_24k if before else 0 :]


def _windows(blocks: Iterable[Tensor], sample_rate: int, window_samples: int) -> Iterator[Tensor]:
    pieces: list[Tensor] = []
    num_waiting = 0
    for piece_n in resampled(blocks, sample_rate):
        pieces.append(piece_n)
        num_waiting += len(piece_n)
        if num_waiting >= window_samples:
            *full, rest = _cut(torch.cat(pieces), window_samples)
            yield from full
            pieces, num_waiting = [rest], len(rest)
    if num_waiting:
        last_n = torch.cat(pieces)
        yield pad(last_n, (0, padded_length(len(last_n)) - len(last_n)))


def _cut(samples_n: Tensor, window_samples: int) -> list[Tensor]:
    """Full windows, then the rest, which may be empty. The clones give a window the same memory alignment wherever in
    a clip it was."""
    num_full = len(samples_n) // window_samples
    pieces = [samples_n[index * window_samples : (index + 1) * window_samples].clone() for index in range(num_full)]
    return [*pieces, samples_n[num_full * window_samples :].clone()]


def _margins(sample_rate: int) -> tuple[int, int]:
    """Samples beside a piece that its filter reaches, at `sample_rate` and at 24 kHz: whole periods of both."""
    divisor = math.gcd(sample_rate, SAMPLE_RATE)
    period, period_24k = sample_rate // divisor, SAMPLE_RATE // divisor
    num_periods = -(-half_width(period, period_24k) // period) + 1
    return num_periods * period, num_periods * period_24k


def _mono(samples_Cn: Tensor) -> Tensor:
    """`[n]` float32: the mean of the channels, added in their order, so that a sample's value follows from its own
    channels."""
    total_n = samples_Cn[0].float()
    for channel_n in samples_Cn[1:]:
        total_n = total_n + channel_n.float()
    return total_n / len(samples_Cn) if len(samples_Cn) > 1 else total_n


def as_array(values: object, what: str) -> np.ndarray:
    """Anything numpy makes an array of; lists of lists of other lengths are none."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what} must be an array, but is {type(values).__name__} of no one shape.") from error


def _tensor(samples: object, what: str) -> Tensor:
    """The given samples as a tensor on the CPU, copied only where torch cannot share their memory."""
    if isinstance(samples, Tensor):
        if samples.dtype not in _FLOATS or samples.layout is not torch.strided or samples.is_meta:
            raise UsageError(f"{what} must be floating point in -1..1, but is {samples.type()}.")
        return samples.detach().cpu()
    array = as_array(samples, what)
    if array.dtype.kind != "f":
        raise UsageError(f"{what} must be floating point in -1..1, but is {array.dtype}.")
    size = array.itemsize
    plain = array.dtype.isnative and array.flags.writeable and size <= 8
    if not plain or any(stride < 0 or stride % size for stride in array.strides):
        array = array.astype(f"f{min(size, 8)}", order="C")
    return torch.from_numpy(array)


def _check_block(samples_Cn: Tensor, what: str) -> None:
    if samples_Cn.dim() != 2 or not 1 <= samples_Cn.shape[0] <= MAX_CHANNELS:
        raise UsageError(f"{what} must have 1 to {MAX_CHANNELS} channels, but has shape {list(samples_Cn.shape)}.")
    if samples_Cn.numel() == 0:
        raise UsageError(f"{what} must hold audio, but is empty.")
    if not torch.isfinite(samples_Cn).all():
        raise UsageError(f"{what} must be finite, but holds NaN or infinity.")
    if (peak := float(samples_Cn.abs().max())) > MAX_AMPLITUDE:
        raise UsageError(f"{what} must be in -1..1 (at most {MAX_AMPLITUDE:g}), but reaches {peak:g}.")
