"""Change the sampling rate with a Hann-windowed sinc, in plain torch.

Same filter as torchaudio's default (lowpass_filter_width 6, rolloff 0.99), which the released codec was trained
behind. Unlike torchaudio the length is exact for any number of samples (theirs is rounded through float32), and rates
with no common divisor do not need a filter bank of gigabytes.
"""

# Shapes: C channels (any leading axes), N samples, P phases (output rate / gcd), K filter taps

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import resampled_length

_ZERO_CROSSINGS = 6  # torchaudio's `lowpass_filter_width`
_ROLLOFF = 0.99
_MAX_BANK = (
    4_000_000  # elements of the dense filter bank; beyond it (coprime rates) filters are evaluated sample by sample
)
_BLOCK = 65_536


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """`[..., N]` float32 at `from_rate` -> `[..., ceil(N * to_rate / from_rate)]` float32 at `to_rate` (Hz)."""
    if from_rate == to_rate:
        return np.asarray(samples, dtype=np.float32)
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    return resample_tensor(torch.from_numpy(samples), from_rate, to_rate).numpy()


def resample_tensor(samples_CN: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """`[..., N]` floating point -> `[..., ceil(N * to_rate / from_rate)]`, same dtype and device; differentiable."""
    if not samples_CN.is_floating_point():
        raise UsageError(f"`samples` must be floating point, but is {samples_CN.dtype}.")
    num_out = resampled_length(samples_CN.shape[-1], from_rate, to_rate)
    if from_rate == to_rate or num_out == 0:
        return samples_CN[..., :num_out]
    divisor = math.gcd(from_rate, to_rate)
    rate_in, rate_out = from_rate // divisor, to_rate // divisor
    flat = samples_CN.reshape(-1, samples_CN.shape[-1])
    dense = rate_out * (rate_in + 2 * half_width(rate_in, rate_out)) <= _MAX_BANK
    result = _by_filter_bank(flat, rate_in, rate_out) if dense else _by_sample(flat, rate_in, rate_out, num_out)
    return result[:, :num_out].reshape(*samples_CN.shape[:-1], num_out)


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """`[N_i]` float32 blocks of one recording at `from_rate` -> blocks whose concatenation is `resample` of theirs: memory
    does not grow with the recording.
    """
    if from_rate == to_rate:
        yield from (np.asarray(block, np.float32) for block in blocks)
        return
    divisor = math.gcd(from_rate, to_rate)
    rate_in, rate_out = from_rate // divisor, to_rate // divisor
    context = -(-half_width(rate_in, rate_out) // rate_in)  # periods on either side that the filter reaches
    periods = max(1, _BLOCK * 4 // rate_in)
    waiting, num_in, num_out = np.zeros(context * rate_in, np.float32), 0, 0
    for block in blocks:
        waiting, num_in = np.concatenate([waiting, np.asarray(block, np.float32)]), num_in + len(block)
        while len(waiting) >= (2 * context + periods) * rate_in:
            output = resample(waiting[: (2 * context + periods) * rate_in], from_rate, to_rate)
            yield output[context * rate_out : (context + periods) * rate_out]
            waiting, num_out = waiting[periods * rate_in :], num_out + periods * rate_out
    output = resample(np.pad(waiting, (0, (context + 1) * rate_in)), from_rate, to_rate)[context * rate_out :]
    yield output[: resampled_length(num_in, from_rate, to_rate) - num_out]


def half_width(rate_in: int, rate_out: int) -> int:
    return math.ceil(_ZERO_CROSSINGS * rate_in / (min(rate_in, rate_out) * _ROLLOFF))


def _windowed_sinc(time: Tensor, scale: float) -> Tensor:
    """`time` in zero crossings of the low-pass, float64."""
    time = time.clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(time * math.pi / _ZERO_CROSSINGS / 2) ** 2
    angle = time * math.pi
    return torch.where(angle == 0, torch.ones_like(angle), angle.sin() / angle) * window * scale


@lru_cache(maxsize=32)
def _filter_bank(rate_in: int, rate_out: int) -> Tensor:
    """`[P, 1, K]` float32: one filter for each output sample of a period. Computed in float64 but for the phases, as
    torchaudio does.
    """
    base = min(rate_in, rate_out) * _ROLLOFF
    width = half_width(rate_in, rate_out)
    offset = torch.arange(-width, width + rate_in, dtype=torch.float64)[None, None] / rate_in
    phase = torch.arange(0, -rate_out, -1)[:, None, None] / rate_out
    return _windowed_sinc((phase + offset) * base, base / rate_in).float()


def _by_filter_bank(samples_CN: Tensor, rate_in: int, rate_out: int) -> Tensor:
    bank = _filter_bank(rate_in, rate_out).to(samples_CN)
    width = half_width(rate_in, rate_out)
    padded = torch.nn.functional.pad(samples_CN, (width, width + rate_in))
    periods_CPM = torch.nn.functional.conv1d(padded[:, None], bank, stride=rate_in)
    return periods_CPM.transpose(1, 2).reshape(samples_CN.shape[0], -1)


def _by_sample(samples_CN: Tensor, rate_in: int, rate_out: int, num_out: int) -> Tensor:
    base = min(rate_in, rate_out) * _ROLLOFF
    width = half_width(rate_in, rate_out)
    padded = torch.nn.functional.pad(samples_CN, (width, width + 1))
    taps = torch.arange(-width, width + 1, device=samples_CN.device)
    blocks = []
    for first in range(0, num_out, _BLOCK):
        ticks = torch.arange(first, min(first + _BLOCK, num_out), device=samples_CN.device) * rate_in
        centre, remainder = ticks // rate_out, ticks % rate_out
        time = taps[None].double() / rate_in - remainder[:, None].double() / (rate_in * rate_out)
        filters = _windowed_sinc(time * base, base / rate_in).to(samples_CN.dtype)
        blocks.append((padded[:, centre[:, None] + taps[None] + width] * filters).sum(dim=-1))
    return torch.cat(blocks, dim=-1)
