"""What codec training reads: clips, their frozen features, and which of them make up a step.

Row in   TrainingClip(samples=[96000] float32 at 24 kHz, text="let's go")
Which crops a step holds is a function of the clips, the seed, the phase and the step alone.
"""

# Shapes: B batch, N samples, T frames, L latent channels, D width

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import hash_json

from uniaudio.audio.frames import UNIT, padded_length
from uniaudio.codec.encoders import Features
from uniaudio.codec.training.examples import ClipFacts

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec


# Frozen features kept of one set; those of further clips are computed again each time.
CACHE_BYTES = 2 * 2**30


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingClip:
    """One clip as training reads it."""

    samples: np.ndarray
    """`[N]` float32 at 24 kHz."""
    text: str = ""
    """Transcript or caption; empty where there is none."""
    facts: ClipFacts = ClipFacts()  # noqa: RUF009 - frozen
    """What is known of it: for phases that ask questions."""
    clip_id: str = ""
    """What errors call it."""


class Crop(NamedTuple):
    """A piece of a clip, in units of 0.4 s."""

    clip: int
    first_unit: int
    num_units: int


class FeatureCache:
    """Frozen features by clip, as long as there is room."""

    def __init__(self) -> None:
        self._features: dict[TrainingClip, Features] = {}
        self._room_bytes = CACHE_BYTES

    def get(self, clip: TrainingClip) -> Features | None:
        return self._features.get(clip)

    def put(self, clip: TrainingClip, features: Features) -> None:
        num_bytes = sum(state.nbytes for state in features)
        if num_bytes <= self._room_bytes:
            self._room_bytes -= num_bytes
            self._features[clip] = features

    def clear(self) -> None:
        self._features.clear()
        self._room_bytes = CACHE_BYTES


class ClipSet:
    """Clips of one split, with the frozen features of each computed once, exactly as encoding computes them."""

    def __init__(
        self, codec: "ReasoningCodec", clips: Sequence[TrainingClip], cache: FeatureCache | None = None
    ) -> None:
        if not clips:
            raise DataError("codec training: there is no clip to train on.")
        self.clips = clips
        self._codec = codec
        self._cache = cache or FeatureCache()
        self.num_units = np.array([padded_length(len(clip.samples)) // UNIT for clip in clips])
        self._by_length = np.argsort(self.num_units, kind="stable")
        self._sorted_units = self.num_units[self._by_length]

    def __len__(self) -> int:
        return len(self.clips)

    def waveform(self, index: int) -> Tensor:
        """`[N]`, padded to its own bucket."""
        samples = torch.from_numpy(np.ascontiguousarray(self.clips[index].samples, dtype=np.float32))
        return torch.nn.functional.pad(samples, (0, int(self.num_units[index]) * UNIT - len(samples)))

    def features(self, index: int) -> Features:
        """Encoder states of a whole clip, `[1, T, D]` each, on the codec's device."""
        features = self._cache.get(self.clips[index])
        if features is None:
            features = self._codec.encoders(self.waveform(index)[None].to(self._codec.device))
            self._cache.put(self.clips[index], features)
        return features

    def subset(self, clips: Sequence[TrainingClip]) -> "ClipSet":
        """Some of these clips, with the same features."""
        return ClipSet(self._codec, clips, self._cache)

    def forget_features(self) -> None:
        """After the encoders learned."""
        self._cache.clear()

    def draw_crops(self, generator: np.random.Generator, num_crops: int, max_units: int) -> list[Crop]:
        """Crops of one length: that of a random clip, at most `max_units`; the others are drawn among longer clips, so
        that nothing is padded."""
        length = min(int(self.num_units[generator.integers(len(self))]), max_units)
        candidates = self._by_length[np.searchsorted(self._sorted_units, length) :]
        chosen = generator.choice(candidates, size=num_crops, replace=len(candidates) < num_crops)
        return [Crop(int(clip), int(generator.integers(self.num_units[clip] - length + 1)), length) for clip in chosen]

    def draw_neighbors(self, generator: np.random.Generator, num_clips: int) -> list[int]:
        """Whole clips of about one length."""
        first = int(generator.integers(max(1, len(self) - num_clips + 1)))
        return [int(self._by_length[index % len(self)]) for index in range(first, first + num_clips)]


def step_generator(seed: int, phase: str, step: int) -> np.random.Generator:
    """The randomness of one step, which no earlier step influences: resuming needs no generator state."""
    return np.random.default_rng(int(hash_json([seed, phase, step])[:16], 16))


def batch_features(parts: Sequence[Features], *, first_unit: Sequence[int], num_units: int) -> Features:
    """Crops of equal length from clips' features, `[B, T, D]` each."""
    per_unit = (20, 20, 10, 10)  # frames in 0.4 s, in the order of `Features`
    return Features(
        *(
            torch.cat(
                [
                    state[:, first * frames : (first + num_units) * frames]
                    for state, first in zip(states, first_unit, strict=True)
                ]
            )
            for states, frames in zip(zip(*parts, strict=True), per_unit, strict=True)
        )
    )


def padded_features(parts: Sequence[Features]) -> tuple[Features, Tensor]:
    """Whole clips padded with zeros to the longest, and which 25 Hz frames are real: `[B, T]` bool."""
    lengths = [part.music_semantic.shape[1] for part in parts]
    batch = Features(
        *(
            torch.nn.utils.rnn.pad_sequence([state[0] for state in states], batch_first=True)
            for states in zip(*parts, strict=True)
        )
    )
    device = batch.whisper.device
    valid_BT = torch.arange(max(lengths), device=device)[None] < torch.tensor(lengths, device=device)[:, None]
    return batch, valid_BT
