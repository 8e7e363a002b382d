"""Recipes: clips that are made from other clips when they are tokenized, named by a hash of how they are made."""

from collections.abc import Mapping, Sequence
from typing import Any

from uniaudio_schemas.fingerprint import canonical_json, hash_bytes, hash_json, short
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction, Recipe

from uniaudio.audio.frames import (
    SAMPLE_RATE,
    num_reasoning_frames,
    num_reconstruction_frames,
    resampled_length,
)
from uniaudio.audio.mix import operation_length

TEXT_OVERHEAD = 4
"""Begin, end and the two tags of a text."""
AUDIO_OVERHEAD = 4
"""Begin and end frames of both parts of a clip."""


def samples_of(clip: Annotated) -> int:
    """Length of a clip at 24 kHz."""
    return resampled_length(clip.num_samples, clip.sample_rate, SAMPLE_RATE)


def audio_positions(num_samples: int) -> int:
    """Positions that both parts of a clip of `num_samples` (24 kHz) take on the grid."""
    return num_reasoning_frames(num_samples) + num_reconstruction_frames(num_samples) + AUDIO_OVERHEAD


def text_positions(text: str) -> int:
    """Approximate positions of a text: one a character, which is more than a real tokenizer needs."""
    return len(text) + TEXT_OVERHEAD


def positions_of(instruction: Instruction, num_samples: Mapping[str, int]) -> int:
    """Approximate positions of an instruction. `num_samples` (24 kHz) knows every clip that is not made by one of its recipes."""
    num_samples_of_recipe = {recipe.clip_id: recipe.num_samples for recipe in instruction.recipes}
    total = 0
    for segment in instruction.segments:
        if segment.kind in ("prompt", "text"):
            total += text_positions(segment.text)
        else:
            count = num_reasoning_frames if segment.kind == "reasoning" else num_reconstruction_frames
            clip = segment.clip_id
            total += count(num_samples_of_recipe[clip] if clip in num_samples_of_recipe else num_samples[clip]) + 2
    return total


def make_recipe(operation: str, parents: Sequence[Annotated], parameters: dict[str, Any], seed: int = 0) -> Recipe:
    """A recipe over whole clips."""
    ids = [parent.clip_id for parent in parents]
    num_samples = operation_length(operation, [samples_of(parent) for parent in parents], parameters)
    text = canonical_json(parameters)
    return Recipe(
        clip_id=short(hash_json([operation, ids, text, seed, num_samples])),
        operation=operation,
        parents=ids,
        parameters=text,
        seed=seed,
        num_samples=num_samples,
    )


def share_of(*key: object) -> float:
    """A number in [0, 1) that depends on the key alone: the same clips are chosen whatever else is there."""
    return int(hash_bytes(repr(key).encode())[:12], 16) / 16**12
