"""Drop the condition of an example, so that a model can be guided at inference (classifier-free guidance).

Every position that carries no loss becomes a padding id of its own kind: text pads, reasoning pads, reconstruction pads
(offset, as the reconstruction ids are). Length and masks stay, so pads are embedded and attended.
"""

from dataclasses import replace

import numpy as np

from uniaudio.sequence.layout import TEXT_STREAM, Grid
from uniaudio.sequence.vocabulary import Vocabulary


def without_condition(grid: Grid, vocabulary: Vocabulary) -> Grid:
    """The grid with its condition replaced by padding."""
    ids = grid.ids.copy()
    is_condition = ~grid.loss
    ids[is_condition & ~grid.is_audio, TEXT_STREAM] = vocabulary.text_pad
    is_frame = is_condition & grid.is_audio
    is_reasoning = is_frame & (ids[:, 0] < vocabulary.reconstruction_offset)
    ids[is_frame, :TEXT_STREAM] = np.where(
        is_reasoning[is_frame, None], vocabulary.reasoning_pad, vocabulary.reconstruction_pad
    )
    return replace(grid, ids=ids)
