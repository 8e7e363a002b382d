"""How encoding keeps its promise: the codes of a clip are a function of its audio alone.

Floating-point sums depend on tensor shapes and on the number of threads, so both are fixed by the clip itself. A clip
is cut into windows of 30 s, its last window padded with zeros to its own 0.4 s bucket. On a CPU one window is computed
at a time, by one thread; on a GPU a batch holds one bucket and is filled up with zeros to a size that follows from the
bucket.
"""

# Shapes: B batch, N samples, R reasoning frames, T reconstruction frames, Q levels, D width

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import num_reasoning_frames, num_reconstruction_frames, padded_length

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec


class Encoded(NamedTuple):
    """One window or clip, with the hidden states behind its codes."""

    reasoning_codes: Tensor
    """`[R, Q]` int64."""
    reconstruction_codes: Tensor
    """`[T, Q]` int64."""
    reasoning_hidden: Tensor
    """`[R, D]`, before quantization."""
    reconstruction_hidden: Tensor
    """`[T, groups, D]`, before quantization."""


def check_clip(clip: np.ndarray | Tensor, index: int) -> Tensor:
    """`[N]` float32 on the CPU."""
    waveform_N = torch.as_tensor(clip)
    if waveform_N.dim() != 1:
        raise UsageError(f"Clip {index} must be mono audio [N], but has shape {list(waveform_N.shape)}.")
    if not waveform_N.is_floating_point():
        raise UsageError(f"Clip {index} must be floating point in -1..1, but is {waveform_N.dtype}.")
    if waveform_N.numel() == 0:
        raise UsageError(f"Clip {index} must hold audio, but is empty.")
    if not torch.isfinite(waveform_N).all():
        raise UsageError(f"Clip {index} must be finite, but holds NaN or infinity.")
    return waveform_N.detach().cpu().float()


@torch.inference_mode()
def encode_clips(codec: "ReasoningCodec", waveforms: Sequence[Tensor]) -> list[Encoded]:
    """Codes and hidden states of each `[N]`."""
    windows = [_windows(waveform_N, codec.config.encode_window_samples) for waveform_N in waveforms]
    flat = [window_N for clip in windows for window_N in clip]
    with eval_mode(codec), one_thread():
        encode = _encode_on_cpu if codec.device.type == "cpu" else _encode_on_gpu
        encoded = iter(encode(codec, flat))
    return [
        _join([next(encoded) for _ in clip], len(waveform_N))
        for clip, waveform_N in zip(windows, waveforms, strict=True)
    ]


def encode_batch(codec: "ReasoningCodec", waveform_BN: Tensor) -> list[Encoded]:
    """Every item of a batch of equal windows; N a multiple of 9,600."""
    features = codec.encoders(waveform_BN)
    hidden_BRD = codec.reasoning.hidden(features)
    reasoning_BRQ = codec.reasoning.quantizer.encode_indices(hidden_BRD)
    modulated = codec.reconstruction.modulate(features, codec.reasoning.quantizer.decode(reasoning_BRQ))
    reconstruction_BTQ = codec.reconstruction.encode(modulated)
    modulated_BTGD = torch.stack(list(modulated.values()), dim=2)
    items = zip(reasoning_BRQ, reconstruction_BTQ, hidden_BRD, modulated_BTGD, strict=True)
    return [Encoded(*(tensor.cpu() for tensor in item)) for item in items]


def _windows(waveform_N: Tensor, window_samples: int) -> list[Tensor]:
    """Windows of `window_samples`; the last is padded to its own 0.4 s bucket."""
    padding = padded_length(len(waveform_N)) - len(waveform_N)
    return list(torch.nn.functional.pad(waveform_N, (0, padding)).split(window_samples))


def _encode_on_cpu(codec: "ReasoningCodec", windows: list[Tensor]) -> list[Encoded]:
    # The clone gives every window the same memory alignment, wherever in a clip it was.
    return [encode_batch(codec, window_N[None].clone())[0] for window_N in windows]


def _encode_on_gpu(codec: "ReasoningCodec", windows: list[Tensor]) -> list[Encoded]:
    buckets: dict[int, list[int]] = defaultdict(list)
    for index, window_N in enumerate(windows):
        buckets[len(window_N)].append(index)
    encoded: dict[int, Encoded] = {}
    for num_samples, members in sorted(buckets.items()):
        batch_size = max(1, codec.config.gpu_batch_samples // num_samples)
        for first in range(0, len(members), batch_size):
            chosen = members[first : first + batch_size]
            batch_BN = torch.zeros(batch_size, num_samples)
            batch_BN[: len(chosen)] = torch.stack([windows[index] for index in chosen])
            items = encode_batch(codec, batch_BN.to(codec.device))
            encoded.update(zip(chosen, items, strict=False))
    return [encoded[index] for index in range(len(windows))]


def _join(windows: list[Encoded], num_samples: int) -> Encoded:
    """Windows in time, cut to the frames of the clip's own length."""
    joined = Encoded(*(torch.cat(parts) for parts in zip(*windows, strict=True)))
    num_reasoning, num_reconstruction = num_reasoning_frames(num_samples), num_reconstruction_frames(num_samples)
    return Encoded(
        joined.reasoning_codes[:num_reasoning],
        joined.reconstruction_codes[:num_reconstruction],
        joined.reasoning_hidden[:num_reasoning],
        joined.reconstruction_hidden[:num_reconstruction],
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch with one CPU thread: sums differ between one and two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def eval_mode(module: torch.nn.Module) -> Iterator[None]:
    """The module in eval mode, then as it was."""
    before = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(before)
