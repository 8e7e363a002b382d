"""`annotated`: one clip ready for tasks: a cut with what is known of it, and what follows from the corpus as a whole: its split, its
copies, its voice, whether its text may be trained on.

Written by  raw_to_annotated
Read by     annotated_to_codec, annotated_to_instructions, instructions_to_tokens (to cut the audio)

A cut is a clip too: `clip_id` names this clip, `raw_clip_id` the raw clip it is cut from (equal where it is the whole).

One row: a row of `cuts` and
    {…, "split": "train", "duplicate_cluster": "5f1c…", "speaker_cluster": "0d11…", "rejections": ["repetition"], "leaks": ["esc50"]}
"""

from dataclasses import dataclass, field

from uniaudio_schemas.kinds.cuts import Annotation, Cut, Turn, Word
from uniaudio_schemas.kinds.raw import Fact
from uniaudio_schemas.kinds.record import schema

__all__ = ["Annotated", "Annotation", "Fact", "Turn", "Word"]


@schema("annotated", version=3, id_field="clip_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class Annotated(Cut):
    split: str
    """`train`, `val` or `test`: the source's own, else one for a whole split group, mostly from the hash of its name."""
    duplicate_cluster: str | None = None
    """Copies of one sound share it, and never lie on both sides of training and held-out."""
    speaker_cluster: str | None = None
    """Clips of one voice, by embedding, across corpora; None where nothing was embedded."""
    rejections: list[str] = field(default_factory=list)
    """Why the recognizer's text is not trained on, by the job's policy; empty where it may be."""
    leaks: list[str] = field(default_factory=list)
    """Registered evaluation sets that share sound or long text with this clip."""
