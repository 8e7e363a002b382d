"""`annotated`: one clip ready for tasks: a whole raw clip, a cut of one, or a passage of a text document, with what is known of it.

Written by  raw_to_annotated
Read by     annotated_to_codec, annotated_to_instructions, instructions_to_tokens (to cut the audio)

A cut is a clip too: `clip_id` names this clip, `raw_clip_id` the raw clip it is cut from (equal where it is the whole).

One row:
    {"clip_id": "5f1c…", "raw_clip_id": "5f1c…", "corpus": "queen", "domain": "speech", "first_sample": 0,
     "num_samples": 31744, "sample_rate": 11025, "split": "train", "language": "en", "transcript": "let's go",
     "words": [{"word": "let's", "first_sample": 1200, "num_samples": 3300, "confidence": 0.91}, …], …}
"""

from dataclasses import dataclass, field

from uniaudio_schemas.record import schema


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    word: str
    first_sample: int
    """From the clip's start, at the clip's own `sample_rate`."""
    num_samples: int
    confidence: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """Where one value of the row comes from."""

    value: str
    """Column of the row, such as `transcript`."""
    annotator: str
    version: str
    confidence: float | None = None


@schema("annotated", version=1, id_field="clip_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class Annotated:
    clip_id: str
    raw_clip_id: str
    corpus: str
    path: str
    domain: str
    """`speech`, `sound`, `music` or `text`."""
    licence: str
    split: str
    """`train`, `val` or `test`: one for a whole split group, mostly from the hash of its name."""
    first_sample: int = 0
    """First sample of the cut in the raw clip, at `sample_rate`."""
    num_samples: int = 0
    """Length at `sample_rate`; 0 for text."""
    sample_rate: int = 0
    channels: int = 0
    text: str | None = None
    """The passage, for `domain` = text."""
    language: str | None = None
    transcript: str | None = None
    """What the recognizer heard; never a reference."""
    words: list[Word] = field(default_factory=list)
    given_text: str | None = None
    """What the source says is spoken: the only reference for ASR."""
    speaker: str | None = None
    speaker_embedding: list[float] = field(default_factory=list)
    """Unit length; empty where not computed."""
    caption: str | None = None
    lyrics: str | None = None
    tags: list[str] = field(default_factory=list)
    tempo_bpm: float | None = None
    key: str | None = None
    instruments: list[str] = field(default_factory=list)
    loudness_lufs: float | None = None
    """ITU-R BS.1770 integrated loudness; None below the gate."""
    snr_db: float | None = None
    mos: float | None = None
    """DNSMOS overall, 1 to 5."""
    speech_fraction: float | None = None
    """Share of samples the voice-activity detector calls speech."""
    duplicate_cluster: str | None = None
    """Copies of one sound share it, and no split is chosen by it: a held-out copy of a training clip is in no example and no score."""
    part_of: str | None = None
    part: str | None = None
    annotations: list[Annotation] = field(default_factory=list)
