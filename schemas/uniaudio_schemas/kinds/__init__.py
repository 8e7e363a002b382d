"""Registers the row of every kind, at every version; a store imports this, so that it can read all of them."""

import uniaudio_schemas.kinds.earlier  # noqa: F401  # registers the rows of released versions that are not the newest
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.kinds.codec_scores import CodecScore
from uniaudio_schemas.kinds.cuts import Cut
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.evalset import EvalsetItem
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.scores import Score
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio_schemas.kinds.tokens import Tokens

ROWS: tuple[type, ...] = (
    Raw, EvalsetItem, Cut, Annotated, Instruction, CodecRow, Tokens, Sequence, Checkpoint, Score, CodecScore, Dropped
)  # fmt: skip
"""Kinds in the order of the data flow."""
