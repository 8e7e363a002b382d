"""What the benchmarks of the language model share: matched shapes, quick weights, fair timing.

A ratio is of one run: the contestants take turns, and the fastest turn of each counts.
"""

import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from uniaudio.lm.config import LMConfig, RopeConfig, StackConfig
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.vocabulary import Vocabulary


def fill(module: nn.Module, std: float = 0.02) -> None:
    """Small random weights without drawing each: a tile is repeated, norms are one."""
    tile = std * torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0)
            else:
                flat = parameter.view(-1)
                for first in range(0, len(flat), len(tile)):
                    part = flat[first : first + len(tile)]
                    part.copy_(tile[: len(part)])


def build(config: LMConfig, dtype: torch.dtype = torch.float32) -> UniAudioLM:
    with torch.device("meta"):
        model = UniAudioLM(config)
    model = model.to(dtype).to_empty(device="cpu").requires_grad_(False).eval()
    fill(model)
    return model


def seconds(*runs: Callable[[], object], turns: int = 3) -> list[float]:
    """CPU seconds of each run's fastest turn."""
    best = [float("inf")] * len(runs)
    for _ in range(turns):
        for index, run in enumerate(runs):
            started = time.process_time()
            run()
            best[index] = min(best[index], time.process_time() - started)
    return best


def a_vocabulary(text_size: int, reasoning_codes: int = 1024, reconstruction_codes: int = 1024) -> Vocabulary:
    """Audio ranges laid out as `Vocabulary.build` does."""
    end = reasoning_codes + 4 + reconstruction_codes
    return Vocabulary(
        text_size=text_size,
        reasoning_codes=reasoning_codes,
        reasoning_bos=reasoning_codes,
        reasoning_eos=reasoning_codes + 1,
        reasoning_pad=reasoning_codes + 3,
        reconstruction_offset=reasoning_codes + 4,
        reconstruction_codes=reconstruction_codes,
        reconstruction_bos=end,
        reconstruction_eos=end + 1,
        reconstruction_pad=end + 2,
        audio_prompt_bos=end + 3,
        audio_prompt_eos=end + 4,
        audio_size=end + 8,
    )


def config_of(
    vocabulary: Vocabulary, backbone: StackConfig, local_decoder: StackConfig, experts: tuple[int, int]
) -> LMConfig:
    return LMConfig(
        text_size=vocabulary.text_size,
        audio_size=vocabulary.audio_size,
        vocabulary_fingerprint=vocabulary.fingerprint,
        backbone=backbone,
        local_decoder=local_decoder,
        num_understanding_layers=experts[0],
        num_generation_layers=experts[1],
        rope=RopeConfig(),
    )


def a_prompt(num_text: int, num_frames: int, vocabulary: Vocabulary) -> SimpleNamespace:
    """Text, then reconstruction frames."""
    generator = np.random.default_rng(0)
    ids = np.zeros((num_text + num_frames, 9), np.int64)
    ids[:num_text, 8] = generator.integers(0, 255, num_text)
    first = vocabulary.reconstruction_offset
    ids[num_text:, :8] = generator.integers(first, first + vocabulary.reconstruction_codes, (num_frames, 8))
    return SimpleNamespace(ids=ids, is_audio=np.arange(len(ids)) >= num_text)
