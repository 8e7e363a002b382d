"""`cuts`: one cut of a raw clip (or the whole of it, or a passage of a text document) with what each annotator says of it alone.

Written by  raw_to_annotated, before it looks at the corpus as a whole
Read by     raw_to_annotated: `annotated` is the same rows with what follows from the corpus; the next run, which takes over every value
            whose annotator, version and clip are the same

One row:
    {"clip_id": "5f1c…", "raw_clip_id": "5f1c…", "corpus": "queen", "domain": "speech", "first_sample": 0,
     "num_samples": 31744, "sample_rate": 11025, "language": "en", "transcript": "let's go", "characters_per_s": 13.1,
     "words": [{"word": "let's", "first_sample": 1200, "num_samples": 3300, "confidence": 0.91}, …],
     "pitch_hz": 121.0, "asked": ["loudness bs1770-1", "transcript whisper-base-1.15.9-2"], …}
"""

from dataclasses import dataclass, field

from uniaudio_schemas.kinds.ids import ClipId, RawId
from uniaudio_schemas.kinds.raw import Fact
from uniaudio_schemas.kinds.record import schema


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    word: str
    first_sample: int
    """Samples from the clip's start, at the clip's own `sample_rate`."""
    num_samples: int
    confidence: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A stretch in which one voice of the clip speaks; stretches of two voices may overlap."""

    voice: int
    """0 for the first voice of the clip, 1 for the second, …"""
    first_sample: int
    num_samples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """Where one value of the row comes from."""

    value: str
    """Column of the row, such as `transcript`."""
    annotator: str
    version: str
    confidence: float | None = None


@schema("cuts", version=2, id_field="clip_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    clip_id: ClipId
    raw_clip_id: RawId
    corpus: str
    path: str
    domain: str
    """`speech`, `sound`, `music` or `text`."""
    licence: str
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
    """The words of the transcript."""
    given_text: str | None = None
    """What the source says is spoken, or the part of it that was aligned to this cut: the only reference for ASR."""
    given_words: list[Word] = field(default_factory=list)
    """The words of the given text, with the times that the source gives or that alignment found."""
    speaker: str | None = None
    speaker_embedding: list[float] = field(default_factory=list)
    """Unit length; empty where not computed."""
    caption: str | None = None
    """What is heard, of sound and music."""
    captions: list[str] = field(default_factory=list)
    """What people of the source said is heard, where they said more than one thing."""
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
    part_of: str | None = None
    part: str | None = None
    title: str | None = None
    """What the source calls the clip."""
    facts: list[Fact] = field(default_factory=list)
    """What else the source says: gender, accent, emotion, …"""
    style: str | None = None
    """How speech sounds, in a sentence composed of measured values and given facts."""
    evidence: list[str] = field(default_factory=list)
    """What `style` and `caption` were composed of, as `column=value`."""
    turns: list[Turn] = field(default_factory=list)
    """Who speaks when; empty where not computed."""
    num_voices: int | None = None
    overlap_fraction: float | None = None
    """Share of speech in which two voices speak."""
    pitch_hz: float | None = None
    """Median fundamental frequency of voiced frames."""
    pitch_range_semitones: float | None = None
    """Range of the pitch from the 10th to the 90th percentile of voiced frames."""
    level_dbfs: float | None = None
    """Root mean square of the frames with speech (of all frames for sound and music)."""
    level_range_db: float | None = None
    pause_fraction: float | None = None
    """Share of the clip between its first and last speech that is silent for 0.2 s or more at a stretch."""
    num_pauses: int | None = None
    syllables_per_s: float | None = None
    """Syllables a second while somebody speaks, measured in the sound."""
    words_per_s: float | None = None
    """Words of the transcript for each second of the whole clip."""
    characters_per_s: float | None = None
    num_empty_words: int | None = None
    """Words of the transcript that have no length or lie behind the clip's end."""
    unsaid_s: float | None = None
    """Seconds of speech, by the voice-activity detector, in stretches at which the transcript has no word."""
    repetition: float | None = None
    """Share of the transcript that repeats what stands right before it."""
    compression_ratio: float | None = None
    no_speech_probability: float | None = None
    language_probability: float | None = None
    second_transcript: str | None = None
    """What a second recognizer heard."""
    second_wer: float | None = None
    """Word errors between the two transcripts, over the longer one."""
    annotations: list[Annotation] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """`name version` of every annotator that was asked, whether it had an answer or not: none of them is asked again."""
