"""Public test doubles: small, fast and deterministic. `tiny_codec()` is a real, untrained codec of the debug size."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from uniaudio.audio.frames import SAMPLE_RATE

if TYPE_CHECKING:
    from uniaudio_schemas.kinds.sequences import Sequence as SequenceRow

    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.lm.model import UniAudioLM
    from uniaudio.sequence.vocabulary import Vocabulary


def a_waveform(duration_s: float = 1.0, *, frequency: float = 220.0, seed: int = 0) -> np.ndarray:
    """`[N]` float32 at 24 kHz: a voiced, decaying chord over a little noise, equal for equal arguments."""
    num_samples = round(duration_s * SAMPLE_RATE)
    time_s = np.arange(num_samples) / SAMPLE_RATE
    partials = sum(np.sin(2 * np.pi * frequency * k * time_s) / k for k in range(1, 6))
    envelope = 0.2 * (1 + np.sin(2 * np.pi * 3 * time_s)) / 2
    noise = np.random.default_rng(seed).standard_normal(num_samples)
    return (envelope * partials + 0.01 * noise).astype(np.float32)


@lru_cache(maxsize=1)
def tiny_codec() -> "ReasoningCodec":
    """An untrained codec of the debug size, built once a process; treat it as read-only."""
    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.codec.config.presets import CodecConfig

    return ReasoningCodec.create(CodecConfig.preset("debug"))


def tiny_lm(vocabulary: "Vocabulary | None" = None, seed: int = 0) -> "UniAudioLM":
    """An untrained language model of about 100,000 parameters, with every part of the large ones."""
    from uniaudio.training.lm import doubles

    return doubles.tiny_lm(vocabulary, seed)


def tiny_sequences(num_train: int = 12, num_held_out: int = 3, seed: int = 0) -> "list[SequenceRow]":
    """Synthetic rows of `sequences` in the default vocabulary that a language model learns in seconds."""
    from uniaudio.training.lm import doubles

    return doubles.tiny_sequences(num_train, num_held_out, seed)
