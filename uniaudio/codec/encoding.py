"""How encoding keeps its promise: the codes of a clip are a function of its audio alone.

Floating-point sums depend on tensor shapes and on the number of threads, so both are fixed by the clip itself. A clip
is cut into windows of 30 s, its last window padded with zeros to its own 0.4 s bucket. On a CPU one window is computed
at a time, by one thread; on a GPU a batch holds one bucket and is filled up with zeros to a size that follows from the
bucket. What the process has set besides (autocast, TF32, the choice of convolutions) is switched off meanwhile.

A GPU is fed from a stream: windows of all clips wait in their buckets until a batch is full, so that zeros are computed
only at the stream's end. A clip is given back as soon as its last window is computed, in whatever order that is.
"""

# Shapes: B batch, C channels, N samples, n samples of a window, R reasoning frames, T reconstruction frames, Q levels,
#         D width

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

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
MAX_SHAPES = 1 << 14
"""Shapes that compiled layers may be called with."""
Place = tuple[int, int]
"""Number of a clip, and of a window within it."""
Windows = Iterable[tuple[Place, Tensor]]
MAX_WAITING_SAMPLES = 1 << 27
"""Samples of windows that wait in half-full batches: 512 MiB. Beyond it the fullest batch is filled with zeros and computed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arithmetic:
    """The numerics that a caller chooses. Codes of two arithmetics differ."""

    dtype: torch.dtype = torch.float32
    """Type of the matrix products within the encoders: `bfloat16` or `float32`."""
    compiled: bool = False
    """Whether torch compiles the encoders' layers for each shape; set by `ReasoningCodec.compile_encoders`."""


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
    busy_s: float = 0.0
    """Seconds in the encoders, of the wall clock."""

    @property
    def ratio(self) -> float:
        """Audio encoded over audio given; 1 is no waste."""
        return self.num_encoded / max(1, self.num_given)


def encode_clips(
    codec: "ReasoningCodec",
    clips: Sequence[Tensor],
    *,
    sample_rate: int,
    keep_hidden: bool = False,
    work: EncodeWork | None = None,
) -> list[Encoded]:
    """Codes of each checked `[C, N]`, with hidden states if they are kept: those of two hours fill gigabytes."""
    encoded: dict[int, Encoded] = {}
    encode_stream(codec, clips, encoded.__setitem__, sample_rate=sample_rate, keep_hidden=keep_hidden, work=work)
    return [encoded[index] for index in range(len(clips))]


@torch.inference_mode()
def encode_stream(
    codec: "ReasoningCodec",
    clips: Iterable[Tensor],
    take: Callable[[int, Encoded], None],
    *,
    sample_rate: int,
    keep_hidden: bool = False,
    work: EncodeWork | None = None,
) -> None:
    """Give `take` the number and the codes of each checked `[C, N]`, in the order in which they are finished.

    Clips are asked for when their windows are due; those that wait for a full batch hold `MAX_WAITING_SAMPLES` at most.
    """
    work = work or EncodeWork()
    window_samples = codec.config.encode_window_samples
    lengths: dict[int, int] = {}

    def windows() -> Iterator[tuple[Place, Tensor]]:
        for index, clip_CN in enumerate(clips):
            lengths[index] = num_samples_24k(clip_CN, sample_rate)
            work.num_given += lengths[index]
            for number, window_n in enumerate(clip_windows(clip_CN, sample_rate, window_samples)):
                yield (index, number), window_n

    parts: dict[int, dict[int, Encoded]] = defaultdict(dict)
    with settled_numerics(codec):
        for (index, number), encoded in encode_windows(codec, windows(), work):
            parts[index][number] = encoded if keep_hidden else Encoded(*encoded[:2])
            if len(parts[index]) == -(-lengths[index] // window_samples):
                take(index, join(parts.pop(index), lengths.pop(index)))


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
    encode = _encode_in_batches if codec.fills_batches else _encode_on_cpu
    return encode(codec, windows, work)


def _encode_timed(codec: "ReasoningCodec", waveform_BN: Tensor, work: EncodeWork) -> list[Encoded]:
    started = time.perf_counter()
    encoded = codec.encode_batch(waveform_BN.to(codec.device))
    work.num_encoded += waveform_BN.numel()
    work.busy_s += time.perf_counter() - started
    return encoded


def encode_batch(codec: "ReasoningCodec", waveform_BN: Tensor) -> list[Encoded]:
    """Every item of a batch of equal windows; N a multiple of 9,600."""
    batch = [tensor.cpu() for tensor in _codes_and_hidden(codec, waveform_BN)]
    return [Encoded(*item) for item in zip(*batch, strict=True)]


def _codes_and_hidden(codec: "ReasoningCodec", waveform_BN: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fields of `Encoded` with B before them. Codes are searched for in float32, whatever the encoders compute in."""
    features = codec.encoders(waveform_BN)
    hidden_BRD = codec.reasoning.hidden(features).float()
    with torch.autocast(codec.device.type, enabled=False):
        reasoning_BRQ = codec.reasoning.quantizer.encode_indices(hidden_BRD)
        reasoned_BRD = codec.reasoning.quantizer.decode(reasoning_BRQ)
    modulated = codec.reconstruction.modulate(features, reasoned_BRD)
    modulated = {group: frames_BTD.float() for group, frames_BTD in modulated.items()}
    with torch.autocast(codec.device.type, enabled=False):
        reconstruction_BTQ = codec.reconstruction.encode(modulated)
    return reasoning_BRQ, reconstruction_BTQ, hidden_BRD, torch.stack(list(modulated.values()), dim=2)


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
        yield place, _encode_timed(codec, window_n[None], work)[0]


def _encode_in_batches(codec: "ReasoningCodec", windows: Windows, work: EncodeWork) -> Iterator[tuple[Place, Encoded]]:
    """While one batch is computed, in a thread, the next one is filled, and codes of the one before are taken."""
    running: deque[tuple[list[Place], Future[list[Encoded]]]] = deque()

    def finished() -> Iterator[tuple[Place, Encoded]]:
        places, encoded = running.popleft()
        yield from zip(places, encoded.result(), strict=False)

    # What settles numerics is a thread's own.
    settled = ExitStack()
    with ThreadPoolExecutor(1, thread_name_prefix="encoder") as encoder:
        encoder.submit(settled.enter_context, torch.inference_mode()).result()
        encoder.submit(settled.enter_context, settled_numerics(codec)).result()
        try:
            for places, batch_BN in _batches(windows, codec.config.gpu_batch_samples):
                running.append((places, encoder.submit(_encode_timed, codec, batch_BN, work)))
                if len(running) > 1:
                    yield from finished()
            while running:
                yield from finished()
        finally:
            encoder.submit(settled.close).result()


def _batches(windows: Windows, gpu_batch_samples: int) -> Iterator[tuple[list[Place], Tensor]]:
    """A batch of a bucket when it is full; what is left at the end, with zeros behind it."""
    buckets: dict[int, list[tuple[Place, Tensor]]] = defaultdict(list)
    num_waiting = 0

    def batch_of(num_samples: int) -> tuple[list[Place], Tensor]:
        members = buckets.pop(num_samples)
        batch_BN = torch.empty(batch_size(num_samples, gpu_batch_samples), num_samples)
        for row_N, (_, window_n) in zip(batch_BN, members, strict=False):
            row_N.copy_(window_n)
        batch_BN[len(members) :] = 0.0
        return [place for place, _ in members], batch_BN

    for place, window_n in windows:
        num_samples = len(window_n)
        buckets[num_samples].append((place, window_n))
        num_waiting += num_samples
        due = num_samples if len(buckets[num_samples]) == batch_size(num_samples, gpu_batch_samples) else None
        if due is None and num_waiting > MAX_WAITING_SAMPLES:
            due = max(buckets, key=lambda length: length * len(buckets[length]))
        if due is not None:
            num_waiting -= due * len(buckets[due])
            yield batch_of(due)
    while buckets:
        yield batch_of(next(iter(buckets)))


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
        half = codec.arithmetic.dtype == torch.bfloat16
        stack.enter_context(torch.autocast(codec.device.type, torch.bfloat16, enabled=half))
        # The compiler chooses its own products.
        stack.enter_context(_compiled_for_every_shape() if codec.arithmetic.compiled else EveryLinear())
        if codec.device.type == "cuda":
            flags = {"enabled": True, "benchmark": False, "deterministic": True, "allow_tf32": False}
            stack.enter_context(torch.backends.cudnn.flags(**flags))
        yield


def _compiled_for_every_shape() -> AbstractContextManager[None]:
    """Limits of recompilation for every shape. Beyond them torch would silently run uncompiled and give other bits."""
    import torch._dynamo

    # Every kind of layer is compiled for every bucket.
    limits: dict[str, Any] = {"recompile_limit": MAX_SHAPES, "accumulated_recompile_limit": MAX_SHAPES}
    patched: AbstractContextManager[None] = torch._dynamo.config.patch({**limits, "fail_on_recompile_limit_hit": True})
    return patched


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
