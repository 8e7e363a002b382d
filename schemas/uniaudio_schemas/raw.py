"""`raw`: one clip as found, or one text document.

Written by  source_to_raw
Read by     raw_to_annotated, and by everything that renders audio

One row (audio):
    {"clip_id": "5f1c0a…", "medium": "audio", "corpus": "queen", "path": "queen/DALT0001.mp3", "sha256": "5f1c0a…",
     "sample_rate": 11025, "num_samples": 31744, "channels": 1, "tar": "9be2…", "tar_offset": 1536, "tar_size": 40211,
     "licence": "freeware", "domain": "speech", "speaker": "joe", "given_text": "Let's go.", …}
"""

from dataclasses import dataclass, field

from uniaudio_schemas.record import schema


@schema("raw", version=1, id_field="clip_id")
@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    clip_id: str
    """First 32 hex digits of the sha256 of the source file's bytes."""
    medium: str
    """`audio` or `text`."""
    corpus: str
    """Top folder of the source; shards hold one corpus each."""
    path: str
    """Path below the source folder, `/`-separated."""
    sha256: str
    """Of the source file's bytes, 64 hex digits."""
    domain: str
    """`speech`, `sound`, `music`, `text`, or `unknown` where nothing says it."""
    licence: str
    """SPDX name where there is one, else the words of the source; `unknown` where nothing says it."""
    sample_rate: int = 0
    """Hz; 0 for text."""
    num_samples: int = 0
    """Samples a channel at `sample_rate`; 0 for text."""
    channels: int = 0
    tar: str = ""
    """Blob (sha256) of the WebDataset tar that holds the FLAC; empty for text."""
    tar_offset: int = 0
    """Byte offset of the FLAC's first byte in the tar."""
    tar_size: int = 0
    """Bytes of the FLAC."""
    text: str | None = None
    """The document, for `medium` = text."""
    speaker: str | None = None
    given_text: str | None = None
    """What the source says is spoken (a script or subtitle): the only text that may be a reference."""
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
