"""Public test doubles: small, fast and deterministic stand-ins that keep the real contracts.

`hash_codec()` needs neither weights nor torch modules; `tiny_codec()` is a real, untrained codec of the debug size.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from uniaudio.audio.frames import SAMPLE_RATE, num_reasoning_frames, num_reconstruction_frames

if TYPE_CHECKING:
    from uniaudio_schemas.kinds.sequences import Sequence as SequenceRow

    from uniaudio.codec.codec import Codes, ReasoningCodec
    from uniaudio.codec.config.presets import CodecConfig
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


class HashCodec:
    """Codes that are a hash of each frame's samples: the contract of `ReasoningCodec` without a model."""

    fingerprint = hashlib.sha256(b"hash codec").hexdigest()[:32]

    @property
    def config(self) -> "CodecConfig":
        from uniaudio.codec.config.presets import CodecConfig

        return CodecConfig.preset("debug")

    def encode(self, clips: Sequence[np.ndarray]) -> list["Codes"]:
        from uniaudio.codec.codec import Codes

        config = self.config
        return [
            Codes(
                _hash_frames(clip, num_reasoning_frames(len(clip)), config.reasoning_codebook_size),
                _hash_frames(clip, num_reconstruction_frames(len(clip)), config.reconstruction_codebook_size),
                len(clip),
            )
            for clip in clips
        ]

    def decode(
        self, codes: Sequence["Codes"], *, steps: int = 10, guidance: float = 1.5, seed: int = 0
    ) -> list[np.ndarray]:
        """Noise that depends on the codes, as long as the clip was."""
        waveforms = []
        for clip in codes:
            digest = hashlib.sha256(clip.reconstruction.tobytes() + str((steps, guidance, seed)).encode()).digest()
            generator = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
            waveforms.append(0.1 * generator.standard_normal(clip.num_samples).astype(np.float32))
        return waveforms


def hash_codec() -> HashCodec:
    return HashCodec()


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


def _hash_frames(clip: np.ndarray, num_frames: int, codebook_size: int) -> np.ndarray:
    frames = np.array_split(np.asarray(clip, dtype=np.float32), num_frames)
    digests = [np.frombuffer(hashlib.sha256(frame.tobytes()).digest()[:16], dtype=np.uint16) for frame in frames]
    return (np.stack(digests) % codebook_size).astype(np.int16)
