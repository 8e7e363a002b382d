"""`raw`: one clip as found, or one text document.

Written by  source_to_raw
Read by     raw_to_annotated, and by everything that renders audio

One row (audio):
    {"clip_id": "5f1c0a…", "medium": "audio", "corpus": "queen", "path": "queen/DALT0001.mp3", "sha256": "5f1c0a…",
     "sample_rate": 11025, "num_samples": 31744, "channels": 1, "tar": "9be2…", "tar_offset": 1536, "tar_size": 40211,
     "licence": "freeware", "domain": "speech", "speaker": "joe", "given_text": "Let's go.", "split": "train",
     "facts": [{"name": "gender", "value": "male"}], "problems": ["longer_than_header: 5.616 of 3.974 s"], …}

A clip is a whole file, or an utterance of one (`first_sample`, `source_channel`): each has its own FLAC.
"""

from dataclasses import dataclass, field

import numpy as np

from uniaudio_schemas.kinds.ids import Digest, RawId, SharedTar
from uniaudio_schemas.kinds.record import Landmarks, schema

NO_LANDMARKS = np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """What a source says of a clip beyond the columns, in its own words: gender, accent, emotion, the name of an event."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenWord:
    """A word or a phone that the source itself gives a time."""

    word: str
    first_sample: int
    """Samples from the clip's start, at its own `sample_rate`."""
    num_samples: int


@schema("raw", version=2, id_field="clip_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    clip_id: RawId
    """32 hex digits: of the sha256 of the source file's bytes where the clip is the whole file, else of that and its place in it."""
    medium: str
    """`audio` or `text`."""
    corpus: str
    """Top folder of the source; shards hold one corpus each."""
    path: str
    """Path below the source folder, `/`-separated; of a member of a container `container.tar/member.wav`, of a row
    `table.parquet/17`."""
    sha256: Digest
    """The hash of the bytes of the source file (or of the member), 64 hex digits."""
    domain: str
    """`speech`, `sound`, `music`, `text`, or `unknown` where nothing says it."""
    licence: str
    """SPDX name where there is one, else the words of the source; `unknown` where nothing says it."""
    sample_rate: int = 0
    """Sample rate in Hz; 0 for text."""
    num_samples: int = 0
    """Samples a channel at `sample_rate`; 0 for text."""
    channels: int = 0
    tar: SharedTar = ""
    """Blob (sha256) of the WebDataset tar that holds the FLAC; empty for text."""
    tar_offset: int = 0
    """Byte offset of the FLAC's first byte in the tar."""
    tar_size: int = 0
    """Bytes of the FLAC."""
    text: str | None = None
    """The document, for `medium` = text."""
    speaker: str | None = None
    given_text: str | None = None
    """What the source says is spoken (a script or subtitle), cleaned as the corpus card says: the only text that may be a reference."""
    given_title: str | None = None
    """What the source calls the clip (a label, a song's title)."""
    given_tags: list[str] = field(default_factory=list)
    language: str | None = None
    """ISO 639-1, where the source says it."""
    split_group: str | None = None
    """Clips of one group never fall into two splits; where None, clips of one speaker, or else of one recording."""
    part_of: str | None = None
    """Key of a recording whose synchronous parts (stems) are separate clips."""
    part: str | None = None
    """Which part of `part_of` this is, such as `guitar`."""
    original_text: str | None = None
    """The given text as the source has it, where cleaning changed it."""
    given_captions: list[str] = field(default_factory=list)
    """What the source says is heard, one sentence a person who said it."""
    given_words: list[GivenWord] = field(default_factory=list)
    """Word times of the source (ctm, TextGrid, subtitles); empty where it has none."""
    facts: list[Fact] = field(default_factory=list)
    split: str | None = None
    """`train`, `val` or `test` where the source gives one."""
    recording: str | None = None
    """The recording this is an utterance of, where a source cuts recordings; utterances of one stay in one split."""
    first_sample: int = 0
    """Where the clip begins in its source file, at `sample_rate`."""
    source_channel: int | None = None
    """Channel of the source file that the clip is, where channels are split."""
    mono_channel: int | None = None
    """Channel to hear the clip by where the mean of all would cancel or one is silent; None: their mean."""
    gain: float | None = None
    """What the source's samples were multiplied by to fit full scale; None where they are as they were."""
    also_paths: list[str] = field(default_factory=list)
    """Other files with the same bytes, whose metadata are merged into this row."""
    audio_sha256: Digest | None = None
    """The hash of the decoded samples as stored: equal for the same sound in another lossless container."""
    landmarks: Landmarks = field(default_factory=lambda: NO_LANDMARKS)
    """Acoustic fingerprint (`uniaudio.audio.landmarks`); empty for text."""
    problems: list[str] = field(default_factory=list)
    """What was noticed while reading, as `kind: detail`; the clip is kept all the same."""
