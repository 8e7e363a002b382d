"""`instructions`: one training example as ordered segments over text and clips; no token in it yet.

Written by  annotated_to_instructions
Read by     instructions_to_tokens (which clips to encode), tokens_to_sequences

A derived clip (mixture, noisy copy, edit) is a recipe: rendered when it is tokenized, never stored.

One row:
    {"instruction_id": "a3…", "task": "asr", "mixture": "asr", "split": "train", "corpus": "queen",
     "segments": [{"kind": "prompt", "text": "Transcribe the speech.", "wrapper": "", "clip_id": "", "loss": False},
                  {"kind": "reasoning", "clip_id": "5f1c…", …}, {"kind": "reconstruction", "clip_id": "5f1c…", …},
                  {"kind": "text", "wrapper": "transcription", "text": "let's go", "loss": True, …}], "recipes": []}
"""

from dataclasses import dataclass, field

from uniaudio_schemas.kinds.ids import ClipId, ExampleId, NewClipId
from uniaudio_schemas.kinds.record import schema


@dataclass(frozen=True, kw_only=True, slots=True)
class InstructionSegment:
    kind: str
    """`prompt`, `text`, `reasoning`, `reconstruction` or `audio_prompt`."""
    loss: bool
    text: str = ""
    """Text of a segment of kind `prompt` or `text`."""
    wrapper: str = ""
    """Wrapper of a `text`: `transcription`, `lyric`, `caption`, or empty."""
    clip_id: ClipId = ""
    """Clip of an audio segment: a row of `annotated`, or of `recipes` here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    clip_id: NewClipId
    """Hash of the other fields: equal recipes are one clip."""
    operation: str
    """`mix`, `concatenate`, `add_noise`, …: a function of `uniaudio.audio.mix`."""
    parents: list[ClipId]
    """Clip ids (rows of `annotated`), in the operation's order."""
    parameters: str
    """JSON with sorted keys."""
    seed: int
    num_samples: int
    """Length of the result at 24 kHz."""


@schema("instructions", version=1, id_field="instruction_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    instruction_id: ExampleId
    task: str
    mixture: str
    """Mixture group whose weight decides how often it is drawn."""
    split: str
    corpus: str
    segments: list[InstructionSegment]
    recipes: list[Recipe] = field(default_factory=list)
    clip_ids: list[ClipId] = field(default_factory=list)
    """Every clip of the example once, parents of recipes included: lineage without parsing segments."""
