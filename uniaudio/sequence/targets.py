"""What of an example a loss is told of: text ids and codes that carry loss and are no special ids.

Begins, ends and tags follow from the format: a model that has learned them and nothing else would look better than chance.
"""

from dataclasses import dataclass, replace

import numpy as np

from uniaudio.sequence.layout import TEXT_STREAM, Grid
from uniaudio.sequence.segments import code_range
from uniaudio.sequence.vocabulary import Vocabulary

# Shapes: S positions, N rated positions, Q streams

CODE_KINDS = ("reasoning", "reconstruction")
"""Kinds of frames with codes of their own; those of an audio prompt are reconstruction codes."""


def code_ranges(vocabulary: Vocabulary) -> tuple[range, ...]:
    """Ids of the codes of each kind of frame."""
    ranges = (code_range(kind, vocabulary) for kind in CODE_KINDS)
    return tuple(range(first, first + num_codes) for first, num_codes in ranges)


@dataclass(frozen=True, slots=True)
class Targets:
    """Ids of an example that are rated, and the positions that predict them, each one before its target."""

    text_N: np.ndarray
    text_at: np.ndarray
    codes: dict[str, np.ndarray]
    """Kind of frame -> `[N, Q]`, codes from 0; kinds without a target are left out."""
    codes_at: dict[str, np.ndarray]


def targets_of(grid: Grid, vocabulary: Vocabulary) -> Targets:
    """The targets of one example; nothing predicts its first position."""
    ids_S9, is_audio_S, loss_S = grid.ids[1:], grid.is_audio[1:], grid.loss[1:]
    is_special_S = np.isin(ids_S9[:, TEXT_STREAM], list(vocabulary.text_specials.values()))
    text_at = np.flatnonzero(loss_S & ~is_audio_S & ~is_special_S)
    codes, codes_at = {}, {}
    for kind, ids in zip(CODE_KINDS, code_ranges(vocabulary), strict=True):
        at = np.flatnonzero(loss_S & is_audio_S & (ids_S9[:, 0] >= ids.start) & (ids_S9[:, 0] < ids.stop))
        if len(at):
            codes[kind], codes_at[kind] = ids_S9[at, :TEXT_STREAM] - ids.start, at
    return Targets(ids_S9[text_at, TEXT_STREAM], text_at, codes, codes_at)


def with_targets_alone(grid: Grid, vocabulary: Vocabulary) -> Grid:
    """The grid with loss on its targets alone."""
    targets, loss = targets_of(grid, vocabulary), np.zeros(len(grid), bool)
    for at in (targets.text_at, *targets.codes_at.values()):
        loss[at + 1] = True
    return replace(grid, loss=loss)
