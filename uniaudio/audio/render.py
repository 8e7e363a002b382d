"""Make the samples of a clip or of a recipe: the one way from rows to audio.

Reads   the tar blob of `raw` (FLAC bytes at `tar_offset`), cut as `annotated` says
Gives   `[N]` float32 mono at 24 kHz, N = ceil(num_samples * 24000 / sample_rate) for a clip, the recipe's
`num_samples` for a recipe
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.instructions import Recipe
from uniaudio_schemas.raw import Raw

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.mix import render_operation
from uniaudio.audio.read import Audio, read_audio
from uniaudio.audio.resample import resample


class BlobSource(Protocol):
    """What of a store rendering needs."""

    def open_blob(self, sha256: str) -> Path:
        """A local file with the blob's bytes."""


def render_clip(store: BlobSource, annotated: Annotated, raw: Raw) -> np.ndarray:
    """`[N]` float32 mono at 24 kHz: the cut `annotated` of the raw clip."""
    if annotated.raw_clip_id != raw.clip_id:
        raise UsageError(f"`raw` must be clip {annotated.raw_clip_id}, but is {raw.clip_id}.")
    if annotated.num_samples <= 0:
        raise UsageError(
            f"Clip {annotated.clip_id} must hold audio, but is a row of domain {annotated.domain!r} without samples."
        )
    audio = _read_raw(store, raw, annotated.first_sample, annotated.num_samples)
    if audio.sample_rate != annotated.sample_rate:
        raise DataError(
            f"{raw.path}: clip {annotated.clip_id} is cut at {annotated.sample_rate} "
            f"Hz, but the audio has {audio.sample_rate} Hz."
        )
    return to_mono_24k(audio)


def render_raw(store: BlobSource, raw: Raw) -> Audio:
    """The whole raw clip as it was found: `[C, N]` at its own rate."""
    return _read_raw(store, raw, 0, None)


def render_recipe(recipe: Recipe, parents: Sequence[np.ndarray]) -> np.ndarray:
    """`[recipe.num_samples]` float32 mono at 24 kHz from the parents' audio, in the recipe's order."""
    if len(parents) != len(recipe.parents):
        raise UsageError(f"Recipe {recipe.clip_id} must get {len(recipe.parents)} parents, but got {len(parents)}.")
    try:
        parameters = json.loads(recipe.parameters)
    except json.JSONDecodeError as error:
        raise DataError(f"recipe {recipe.clip_id}: `parameters` is not JSON: {error.msg}.") from error
    if not isinstance(parameters, dict):
        raise DataError(
            f"recipe {recipe.clip_id}: `parameters` must be a JSON object, but is {recipe.parameters[:80]}."
        )
    samples = render_operation(recipe.operation, parents, parameters, recipe.seed)
    if samples.size != recipe.num_samples:
        raise DataError(f"recipe {recipe.clip_id}: must give {recipe.num_samples} samples, but gives {samples.size}.")
    return samples


def to_mono_24k(audio: Audio) -> np.ndarray:
    """`[C, N]` at any rate -> `[N']` float32: the mean of the channels, at 24 kHz."""
    return resample(audio.samples.mean(axis=0, dtype=np.float32), audio.sample_rate, SAMPLE_RATE)


def _read_raw(store: BlobSource, raw: Raw, first_sample: int, num_samples: int | None) -> Audio:
    if raw.medium != "audio" or not raw.tar:
        raise UsageError(f"Raw clip {raw.clip_id} ({raw.path}) must be audio, but its medium is {raw.medium!r}.")
    with store.open_blob(raw.tar).open("rb") as tar:
        tar.seek(raw.tar_offset)
        data = tar.read(raw.tar_size)
    if len(data) < raw.tar_size:
        raise DataError(f"{raw.path}: its tar {raw.tar} ends {raw.tar_size - len(data)} bytes before the clip does.")
    return read_audio(data, name=raw.path, suffix=".flac", first_sample=first_sample, num_samples=num_samples)
