"""What codec training reads: clips, their frozen features, and which of them make up a step.

Row in   TrainingClip(samples=[96000] float32 at 24 kHz, text="let's go")
Which crops a step holds is a function of the clips, the seed, the phase and the step alone. A clip longer than a window
of encoding is trained on as its windows, so that memory does not grow with the length of a clip, nor, since what is kept
is bounded by bytes, with the corpus: samples may be an array, or decoded when they are needed (`uniaudio.training.codec.audio`).
"""

# Shapes: B batch, N samples, T frames, L latent channels, D width

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.fingerprint import hash_json

from uniaudio.audio.frames import RECONSTRUCTION_HOP, UNIT, padded_length
from uniaudio.codec.encoders.frozen import Features
from uniaudio.training.codec.audio import StoredSamples
from uniaudio.training.codec.examples import ClipFacts

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec


CACHE_BYTES = max(2 * 2**30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 5)
"""Bytes of frozen tensors that a set of clips keeps, on all ranks of a host together. The least recently used are dropped and
computed again when needed. Ten hours at `starter` are 8 GB of encoder states, which cost half an hour of a core."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingClip:
    """One clip as training reads it."""

    samples: np.ndarray | StoredSamples
    """`[N]` float32 at 24 kHz."""
    text: str = ""
    """Transcript or caption; empty where there is none."""
    facts: ClipFacts = ClipFacts()  # noqa: RUF009 - frozen
    """What is known of it: for phases that ask questions."""
    clip_id: str = ""
    """Name of the clip in errors."""


class Crop(NamedTuple):
    """A piece of a clip, in units of 0.4 s."""

    clip: int
    first_unit: int
    num_units: int


class FrozenCache:
    """Tensors that frozen parts made of a clip: those used last, at most this rank's share of `CACHE_BYTES`."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[TrainingClip, str], tuple[Tensor, ...]] = OrderedDict()
        self.num_bytes = 0

    def get(self, clip: TrainingClip, what: str, compute: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """`what` of the clip, computed where it is not kept: the same bits either way."""
        key = (clip, what)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        tensors = compute()
        self._kept[key] = tensors
        self.num_bytes += _num_bytes(tensors)
        while self.num_bytes > CACHE_BYTES // int(os.environ.get("LOCAL_WORLD_SIZE", "1")):
            self.num_bytes -= _num_bytes(self._kept.popitem(last=False)[1])
        return tensors

    def has(self, clip: TrainingClip, what: str) -> bool:
        """Whether `what` of the clip is kept."""
        return (clip, what) in self._kept

    def clear(self) -> None:
        self._kept.clear()
        self.num_bytes = 0


class ClipSet:
    """Clips of one split, with the frozen features of each exactly as encoding computes them."""

    def __init__(
        self, codec: "ReasoningCodec", clips: Sequence[TrainingClip], cache: FrozenCache | None = None
    ) -> None:
        if not clips:
            raise DataError("codec training: there is no clip to train on.")
        self.clips = cut_long(clips, codec.config.encode_window_samples)
        self._codec = codec
        self._cache = cache or FrozenCache()
        self.num_units = np.array([padded_length(len(clip.samples)) // UNIT for clip in self.clips])
        self.waited_s = 0.0
        """Seconds in which samples were not there yet."""
        self._by_length = np.argsort(self.num_units, kind="stable")
        self._sorted_units = self.num_units[self._by_length]

    def __len__(self) -> int:
        return len(self.clips)

    def waveform(self, index: int) -> Tensor:
        """`[N]`, padded to its own bucket."""
        start = time.monotonic()
        samples = torch.from_numpy(np.ascontiguousarray(self.clips[index].samples, dtype=np.float32))
        self.waited_s += time.monotonic() - start
        return torch.nn.functional.pad(samples, (0, int(self.num_units[index]) * UNIT - len(samples)))

    def crops(self, crops: Sequence[Crop]) -> Tensor:
        """Waveforms `[B, N]` of crops of one length, on the codec's device."""
        pieces = [
            self.waveform(crop.clip)[crop.first_unit * UNIT : (crop.first_unit + crop.num_units) * UNIT]
            for crop in crops
        ]
        return torch.stack(pieces).to(self._codec.device)

    def features(self, index: int) -> Features:
        """Encoder states of a whole clip, `[1, T, D]` each, on the codec's device."""
        return Features(*self._cache.get(self.clips[index], "features", lambda: self._computed(index)))

    def has_features(self, index: int) -> bool:
        """Whether `features` would read no audio."""
        return self._cache.has(self.clips[index], "features")

    def subset(self, clips: Sequence[TrainingClip]) -> "ClipSet":
        """Some of these clips, with the same features."""
        return ClipSet(self._codec, clips, self._cache)

    def _computed(self, index: int) -> Features:
        features: Features = self._codec.encoders(self.waveform(index)[None].to(self._codec.device))
        return features

    def draw_crops(self, generator: np.random.Generator, num_crops: int, max_units: int) -> list[Crop]:
        """Crops of one length: that of a random clip, at most `max_units`; the others are drawn among longer clips, so
        that nothing is padded."""
        length = min(int(self.num_units[generator.integers(len(self))]), max_units)
        candidates = self._by_length[np.searchsorted(self._sorted_units, length) :]
        drawn_clips = generator.choice(candidates, size=num_crops, replace=len(candidates) < num_crops)
        return [
            Crop(int(clip), int(generator.integers(self.num_units[clip] - length + 1)), length) for clip in drawn_clips
        ]

    def draw_neighbors(self, generator: np.random.Generator, num_clips: int) -> list[Crop]:
        """Whole clips of about one length."""
        first = int(generator.integers(max(1, len(self) - num_clips + 1)))
        clips = [int(self._by_length[index % len(self)]) for index in range(first, first + num_clips)]
        return [Crop(clip, 0, int(self.num_units[clip])) for clip in clips]


def cut_long(clips: Sequence[TrainingClip], window_samples: int) -> list[TrainingClip]:
    """Clips of at most `window_samples` each: a longer one as its windows, views that hold no samples of their own.

    First those that start a clip, in the clips' order, then the second windows, and so on. No text is about a window of a
    longer clip; its domain is known.
    """
    numbered: list[tuple[int, TrainingClip]] = []
    for clip in clips:
        if len(clip.samples) <= window_samples:
            numbered.append((0, clip))
            continue
        facts = ClipFacts(domain=clip.facts.domain)
        # A rest that fills no frame is left out, as clips like it are.
        starts = range(0, len(clip.samples) - RECONSTRUCTION_HOP + 1, window_samples)
        for number, first in enumerate(starts):
            numbered.append((number, TrainingClip(samples=clip.samples[first : first + window_samples], facts=facts)))
    return [clip for _, clip in sorted(numbered, key=lambda pair: pair[0])]


def step_generator(seed: int, phase: str, step: int) -> np.random.Generator:
    """The randomness of one step, which no earlier step influences: resuming needs no generator state."""
    return np.random.default_rng(int(hash_json([seed, phase, step])[:16], 16))


def batch_features(parts: Sequence[Features], *, first_unit: Sequence[int], num_units: int) -> Features:
    """Crops of equal length from clips' features, `[B, T, D]` each."""
    per_unit = (20, 20, 10, 10, 5)  # frames in 0.4 s, in the order of `Features`
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


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
