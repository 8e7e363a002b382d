"""How encoding keeps its promise: the codes of a clip are a function of its audio alone.

Floating-point sums depend on tensor shapes and on the number of threads, so both are fixed by the clip itself. A clip
is cut into windows of 30 s, its last window padded with zeros to its own 0.4 s bucket. On a CPU one window is computed
at a time, by one thread; on a GPU a batch holds one bucket and is filled up with zeros to a size that follows from the
bucket. What the process has set besides (autocast, TF32, the choice of convolutions) is switched off meanwhile.
"""

# Shapes: B batch, C channels, N samples, n samples of a window, R reasoning frames, T reconstruction frames, Q levels,
#         D width

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import SAMPLE_RATE, num_reasoning_frames, num_reconstruction_frames, resampled_length
from uniaudio.codec.windows import block_windows, clip_windows, num_samples_24k
from uniaudio.products import EveryLinear

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec

_EMPTY = torch.empty(0)
Place = tuple[int, int]
"""Which clip, and which window of it."""
Windows = Iterable[tuple[Place, Tensor]]


class Encoded(NamedTuple):
    """One window or clip, with the hidden states behind its codes."""

    reasoning_codes: Tensor
    """`[R, Q]` int64."""
    reconstruction_codes: Tensor
    """`[T, Q]` int64."""
    reasoning_hidden: Tensor = _EMPTY
    """`[R, D]`, before quantization."""
    reconstruction_hidden: Tensor = _EMPTY
    """`[T, groups, D]`, before quantization."""


@dataclass(slots=True)
class EncodeWork:
    """Counts what encoding was given and what it computed, in samples at 24 kHz."""

    num_given: int = 0
    num_encoded: int = 0
    """Samples that went through the encoders, padding and filled-up batches included."""

    @property
    def ratio(self) -> float:
        """Audio encoded over audio given; 1 is no waste."""
        return self.num_encoded / max(1, self.num_given)


@torch.inference_mode()
def encode_clips(
    codec: "ReasoningCodec",
    clips: Sequence[Tensor],
    *,
    sample_rate: int,
    keep_hidden: bool = False,
    work: EncodeWork | None = None,
) -> list[Encoded]:
    """Codes of each checked `[C, N]`, with hidden states if they are kept: those of two hours fill gigabytes."""
    lengths = [num_samples_24k(clip_CN, sample_rate) for clip_CN in clips]
    windows = (
        ((index, number), window_n)
        for index, clip_CN in enumerate(clips)
        for number, window_n in enumerate(clip_windows(clip_CN, sample_rate, codec.config.encode_window_samples))
    )
    work = work or EncodeWork()
    work.num_given += sum(lengths)
    parts: dict[int, dict[int, Encoded]] = defaultdict(dict)
    with settled_numerics(codec):
        for (index, number), encoded in encode_windows(codec, windows, work):
            parts[index][number] = encoded if keep_hidden else Encoded(*encoded[:2])
        return [join(parts[index], length) for index, length in enumerate(lengths)]


@torch.inference_mode()
def encode_blocks(
    codec: "ReasoningCodec", blocks: Iterable[np.ndarray | Tensor], sample_rate: int
) -> tuple[Encoded, int]:
    """Codes of one clip that comes in blocks, and its samples at 24 kHz."""
    lengths: list[int] = []
    windows = block_windows(blocks, sample_rate, codec.config.encode_window_samples, lengths)
    numbered = (((0, number), window_n) for number, window_n in enumerate(windows))
    with settled_numerics(codec):
        encoded = encode_windows(codec, numbered, EncodeWork())
        parts = {number: Encoded(*window[:2]) for (_, number), window in encoded}
        num_samples = resampled_length(sum(lengths), sample_rate, SAMPLE_RATE)
        if not num_samples:
            raise UsageError("`blocks` must hold audio, but is empty.")
        return join(parts, num_samples), num_samples


def encode_windows(codec: "ReasoningCodec", windows: Windows, work: EncodeWork) -> Iterator[tuple[Place, Encoded]]:
    """Every window, in any order; call it with settled numerics."""
    encode = _encode_on_cpu if codec.device.type == "cpu" else _encode_in_batches
    return encode(codec, windows, work)


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


def batch_size(window_samples: int, gpu_batch_samples: int) -> int:
    """Windows in a batch on a GPU: constant for a bucket, since a row's bits follow from the batch's shape."""
    return max(1, gpu_batch_samples // window_samples)


def join(windows: Mapping[int, Encoded], num_samples: int) -> Encoded:
    """Numbered windows in time, cut to the frames of the clip's own length."""
    in_time = [windows[number] for number in sorted(windows)]
    joined = Encoded(*(torch.cat(parts) for parts in zip(*in_time, strict=True)))
    num_reasoning, num_reconstruction = num_reasoning_frames(num_samples), num_reconstruction_frames(num_samples)
    return Encoded(
        joined.reasoning_codes[:num_reasoning],
        joined.reconstruction_codes[:num_reconstruction],
        joined.reasoning_hidden[:num_reasoning],
        joined.reconstruction_hidden[:num_reconstruction],
    )


def _encode_on_cpu(codec: "ReasoningCodec", windows: Windows, work: EncodeWork) -> Iterator[tuple[Place, Encoded]]:
    for place, window_n in windows:
        work.num_encoded += len(window_n)
        yield place, encode_batch(codec, window_n[None])[0]


def _encode_in_batches(codec: "ReasoningCodec", windows: Windows, work: EncodeWork) -> Iterator[tuple[Place, Encoded]]:
    """A batch is computed when its bucket is full; what is left at the end, with zeros behind it."""

    def run(members: list[tuple[Place, Tensor]]) -> Iterator[tuple[Place, Encoded]]:
        num_samples = len(members[0][1])
        batch_BN = torch.zeros(batch_size(num_samples, codec.config.gpu_batch_samples), num_samples)
        batch_BN[: len(members)] = torch.stack([window_n for _, window_n in members])
        work.num_encoded += batch_BN.numel()
        items = encode_batch(codec, batch_BN.to(codec.device))
        yield from zip((place for place, _ in members), items, strict=False)

    buckets: dict[int, list[tuple[Place, Tensor]]] = defaultdict(list)
    for place, window_n in windows:
        bucket = buckets[len(window_n)]
        bucket.append((place, window_n))
        if len(bucket) == batch_size(len(window_n), codec.config.gpu_batch_samples):
            yield from run(buckets.pop(len(window_n)))
    for members in buckets.values():
        yield from run(members)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products of float32 in float32, and those of a CPU by oneDNN where torch has it."""
    precision, onednn = torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled
    torch.set_float32_matmul_precision("highest")
    torch.backends.mkldnn.enabled = torch.backends.mkldnn.is_available()
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.mkldnn.enabled = onednn


@contextmanager
def settled_numerics(codec: "ReasoningCodec") -> Iterator[None]:
    """Everything that decides the bits and belongs to the process rather than to the clip: the codec in eval mode,
    one CPU thread, no autocast, no TF32, torch's own choice of attention and oneDNN, no convolution chosen by a race."""
    with ExitStack() as stack:
        stack.enter_context(eval_mode(codec))
        stack.enter_context(one_thread())
        stack.enter_context(_full_precision())
        stack.enter_context(sdpa_kernel(list(SDPBackend.__members__.values())[1:]))
        stack.enter_context(torch.autocast(codec.device.type, enabled=False))
        stack.enter_context(EveryLinear())
        if codec.device.type == "cuda":
            flags = {"enabled": True, "benchmark": False, "deterministic": True, "allow_tf32": False}
            stack.enter_context(torch.backends.cudnn.flags(**flags))
        yield


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
    """The module in eval mode, then every part of it as it was."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
