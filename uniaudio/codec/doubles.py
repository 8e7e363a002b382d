"""A codec without a model that is fed as a real one: its codes are sums of each frame, its batches those of a GPU.

Shapes: B batch, N samples, R reasoning frames, T reconstruction frames.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from uniaudio.audio.frames import REASONING_HOP, RECONSTRUCTION_HOP
from uniaudio.codec.codec import Codes, ReasoningCodec
from uniaudio.codec.config.presets import NUM_CODEBOOKS, CodecConfig
from uniaudio.codec.encoding import Encoded, EncodeWork


class BatchingCodec(nn.Module):
    """Lives on a CPU and says it is a device."""

    device = torch.device("cpu")
    arithmetic = ReasoningCodec.arithmetic

    def __init__(self, *, fills_batches: bool = True, gpu_batch_samples: int | None = None) -> None:
        super().__init__()
        config = CodecConfig.preset("debug")
        self.config = replace(config, gpu_batch_samples=gpu_batch_samples or config.gpu_batch_samples)
        self.fills_batches = fills_batches
        self.shapes: Counter[tuple[int, int]] = Counter()
        """`(B, N)` of every batch."""

    def encode_batch(self, waveform_BN: Tensor) -> list[Encoded]:
        num_windows, num_samples = waveform_BN.shape
        self.shapes[num_windows, num_samples] += 1
        streams = [
            _codes(waveform_BN, REASONING_HOP, self.config.reasoning_codebook_size),
            _codes(waveform_BN, RECONSTRUCTION_HOP, self.config.reconstruction_codebook_size),
        ]
        return [Encoded(*codes) for codes in zip(*streams, strict=True)]

    def encode_stream(
        self, clips: Iterable[np.ndarray | Tensor], take: Callable[[int, Codes], None], work: EncodeWork | None = None
    ) -> None:
        ReasoningCodec.encode_stream(cast(ReasoningCodec, self), clips, take, work)


def _codes(waveform_BN: Tensor, hop: int, codebook_size: int) -> Tensor:
    """`[B, N / hop, 8]` int64: eight parts of a frame, each summed up in whole numbers."""
    parts: Tensor = waveform_BN.unflatten(1, (-1, NUM_CODEBOOKS, hop // NUM_CODEBOOKS))
    return (parts * 32_768).long().sum(dim=-1) % codebook_size
