"""Registers the row of every kind, at every version; a store imports this, so that it can read all of them."""

from uniaudio_schemas import earlier
from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.checkpoint import Checkpoint
from uniaudio_schemas.codec import CodecRow
from uniaudio_schemas.cuts import Cut
from uniaudio_schemas.dropped import Dropped
from uniaudio_schemas.evalset import EvalsetItem
from uniaudio_schemas.instructions import Instruction
from uniaudio_schemas.raw import Raw
from uniaudio_schemas.scores import Score
from uniaudio_schemas.sequences import Sequence
from uniaudio_schemas.tokens import Tokens

ROWS: tuple[type, ...] = (
    Raw, EvalsetItem, Cut, Annotated, Instruction, CodecRow, Tokens, Sequence, Checkpoint, Score, Dropped
)  # fmt: skip
"""In the order of the data flow."""
EARLIER = earlier.ROWS
"""Rows of released versions that are not the newest."""
