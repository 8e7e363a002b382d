"""What the builders yield: examples, and what could not become one."""

from collections.abc import Iterator
from dataclasses import dataclass

from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.instructions import Instruction

AUDIO_DOMAINS = ("speech", "sound", "music", "unknown")


@dataclass(frozen=True, slots=True)
class Built:
    """One example; it goes into the shard that holds its `anchor`, so that shards decide nothing."""

    anchor: str
    """Clip id."""
    instruction: Instruction


@dataclass(frozen=True, slots=True)
class NotBuilt:
    anchor: str
    reason: str
    detail: str


Outcome = Built | NotBuilt
Outcomes = Iterator[Outcome]


def words_of(clip: Annotated) -> str:
    """What is said: a script goes before what a recognizer heard, and held out nothing else is a reference."""
    if clip.domain != "speech":
        return ""
    heard = clip.transcript if clip.split == "train" else None
    return (clip.given_text or "").strip() or (heard or "").strip()


def has_audio(clip: Annotated) -> bool:
    return clip.domain != "text" and clip.num_samples > 0 and clip.sample_rate > 0
