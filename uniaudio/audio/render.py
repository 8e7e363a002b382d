"""Make the samples of a clip or of a recipe: the one way from rows to audio.

Reads   the tar blob of `raw` (FLAC bytes at `tar_offset`), cut as `annotated` says
Gives   `[N]` float32 mono at 24 kHz, N = ceil(num_samples * 24000 / sample_rate) for a clip, the recipe's
`num_samples` for a recipe
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.extras import optional_packages
from uniaudio_schemas.kinds.instructions import Recipe
from uniaudio_schemas.plain import json_object

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.mix import render_operation
from uniaudio.audio.read import Audio
from uniaudio.audio.resample import resample
from uniaudio.audio.splice import Splice


class BlobSource(Protocol):
    """The part of a store that rendering needs."""

    def open_blob(self, sha256: str) -> Path:
        """A local file with the blob's bytes."""


class CutPlace(Protocol):
    """The fields of a row of `annotated` that rendering needs."""

    @property
    def clip_id(self) -> str: ...
    @property
    def raw_clip_id(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def first_sample(self) -> int: ...
    @property
    def num_samples(self) -> int: ...
    @property
    def sample_rate(self) -> int: ...


class RawPlace(Protocol):
    """The fields of a row of `raw` that rendering needs."""

    @property
    def clip_id(self) -> str: ...
    @property
    def medium(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def tar(self) -> str: ...
    @property
    def tar_offset(self) -> int: ...
    @property
    def tar_size(self) -> int: ...
    @property
    def mono_channel(self) -> int | None: ...


def render_clip(store: BlobSource, annotated: CutPlace, raw: RawPlace) -> np.ndarray:
    """`[N]` float32 mono at 24 kHz: the cut `annotated` of the raw clip, as `raw.mono_channel` says."""
    check_cut(annotated, raw)
    with open_raw(store, raw) as reader:
        return render_cut(reader, annotated)


def check_cut(annotated: CutPlace, raw: RawPlace) -> None:
    """`UsageError` where the cut is none of this raw clip, `DataError` where it is at another rate."""
    if annotated.raw_clip_id != raw.clip_id:
        raise UsageError(f"`raw` must be clip {annotated.raw_clip_id}, but is {raw.clip_id}.")
    if annotated.num_samples <= 0:
        raise UsageError(
            f"Clip {annotated.clip_id} must hold audio, but is a row of domain {annotated.domain!r} without samples."
        )
    if raw.sample_rate != annotated.sample_rate:
        raise DataError(
            f"{raw.path}: clip {annotated.clip_id} is cut at {annotated.sample_rate} "
            f"Hz, but the audio has {raw.sample_rate} Hz."
        )


def render_cut(reader: "RawReader", cut: CutPlace) -> np.ndarray:
    """`[N]` float32 mono at 24 kHz: a checked cut of the raw clip that is open."""
    return resample(reader.mono(reader.read(cut.first_sample, cut.num_samples)), cut.sample_rate, SAMPLE_RATE)


class RawReader:
    """The audio of one raw clip, read where it lies: memory does not grow with the clip."""

    def __init__(self, tar: IO[bytes], raw: RawPlace) -> None:
        with optional_packages():
            import soundfile

        self._raw, self._error = raw, soundfile.LibsndfileError
        stream = Splice(tar, [(raw.tar_offset, raw.tar_offset + raw.tar_size)])
        try:
            self._file = soundfile.SoundFile(stream)
        except (self._error, TypeError) as error:
            raise DataError(f"{raw.path}: its audio in {raw.tar} cannot be read: {error}") from error

    @property
    def num_samples(self) -> int:
        return int(self._file.frames)

    def read(self, first_sample: int, num_samples: int) -> np.ndarray:
        """`[C, num_samples]` float32 at the clip's own rate. `DataError` where the clip ends before."""
        try:
            self._file.seek(first_sample)
            samples = self._file.read(num_samples, dtype="float32", always_2d=True).T
        except self._error as error:
            raise DataError(f"{self._raw.path}: is broken after sample {first_sample}: {error}") from error
        if samples.shape[1] < num_samples:
            num_missing = num_samples - samples.shape[1]
            raise DataError(
                f"{self._raw.path}: ends {num_missing} samples before the end of {first_sample} + {num_samples}."
            )
        return np.ascontiguousarray(samples)

    def blocks(self, block_samples: int = 1 << 18) -> Iterator[np.ndarray]:
        """The whole clip as `[C, n]` float32."""
        for first in range(0, self.num_samples, block_samples):
            yield self.read(first, min(block_samples, self.num_samples - first))

    def mono(self, samples_CN: np.ndarray) -> np.ndarray:
        """`[N]` float32: what of `[C, N]` is heard (`raw.mono_channel`)."""
        return mix_down(samples_CN, self._raw.mono_channel)


@contextmanager
def open_raw(store: BlobSource, raw: RawPlace) -> Iterator[RawReader]:
    """The whole raw clip as it was found. `UsageError` where it is no audio."""
    if raw.medium != "audio" or not raw.tar:
        raise UsageError(f"Raw clip {raw.clip_id} ({raw.path}) must be audio, but its medium is {raw.medium!r}.")
    with store.open_blob(raw.tar).open("rb") as tar:
        size = tar.seek(0, io.SEEK_END)
        if size < raw.tar_offset + raw.tar_size:
            num_missing = raw.tar_offset + raw.tar_size - size
            raise DataError(f"{raw.path}: its tar {raw.tar} ends {num_missing} bytes before the clip does.")
        yield RawReader(tar, raw)


def render_raw(store: BlobSource, raw: RawPlace) -> Audio:
    """The whole raw clip as it was found: `[C, N]` at its own rate."""
    with open_raw(store, raw) as reader:
        return Audio(samples=reader.read(0, reader.num_samples), sample_rate=raw.sample_rate)


def render_recipe(recipe: Recipe, parents: Sequence[np.ndarray]) -> np.ndarray:
    """`[recipe.num_samples]` float32 mono at 24 kHz from the parents' audio, in the recipe's order."""
    if len(parents) != len(recipe.parents):
        raise UsageError(f"Recipe {recipe.clip_id} must get {len(recipe.parents)} parents, but got {len(parents)}.")
    parameters = json_object(recipe.parameters, f"recipe {recipe.clip_id}, `parameters`")
    samples = render_operation(recipe.operation, parents, parameters, recipe.seed)
    if samples.size != recipe.num_samples:
        raise DataError(f"recipe {recipe.clip_id}: must give {recipe.num_samples} samples, but gives {samples.size}.")
    return samples


def to_mono_24k(audio: Audio, mono_channel: int | None = None) -> np.ndarray:
    """`[C, N]` at any rate -> `[N']` float32 at 24 kHz: the mean of the channels, or one of them."""
    return resample(mix_down(audio.samples, mono_channel), audio.sample_rate, SAMPLE_RATE)


def mix_down(samples_CN: np.ndarray, mono_channel: int | None) -> np.ndarray:
    """`[C, N]` -> `[N]` float32: the channel, or where it is None the mean of all."""
    mono_N: np.ndarray = samples_CN.mean(axis=0, dtype=np.float32) if mono_channel is None else samples_CN[mono_channel]
    return mono_N
