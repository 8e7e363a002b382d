"""What the builders yield: examples, and what could not become one. And what they all ask of clips."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.instructions import Instruction

from uniaudio.tasks.recipes import share_of

AUDIO_DOMAINS = ("speech", "sound", "music", "unknown")
NOISE_DB = (0.0, 20.0)
"""Speech above the noise."""


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


def letters_of(clip: Annotated) -> str:
    """What is said, for comparing: no case, no punctuation, no spaces."""
    return "".join(letter for letter in words_of(clip).casefold() if letter.isalnum())


def is_target(clip: Annotated, min_mos: float) -> bool:
    """Whether a model may learn to speak like that."""
    return clip.mos is None or clip.mos >= min_mos


def noise_of(*key: object) -> dict[str, Any]:
    """Parameters of `add_noise` that depend on the key alone."""
    low, high = NOISE_DB
    color = "white" if share_of("color", *key) < 0.5 else "pink"
    return {"snr_db": round(low + (high - low) * share_of("snr", *key), 1), "color": color}


def grouped(
    clips: Iterable[Annotated], key: Callable[[Annotated], Hashable | None]
) -> Iterator[tuple[Hashable, list[Annotated]]]:
    """Clips by key, in the order of the keys; None is in no group."""
    groups: dict[Hashable, list[Annotated]] = defaultdict(list)
    for clip in clips:
        if (found := key(clip)) is not None:
            groups[found].append(clip)
    yield from sorted(groups.items(), key=lambda item: repr(item[0]))
