"""What gateway and replicas hand to each other: plain values, no torch."""

from dataclasses import dataclass

import numpy as np
from uniaudio_schemas.errors import UniaudioError

UPLOAD_NAME = "audio"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was sent."""

    data: bytes
    name: str = UPLOAD_NAME


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: str
    """`user` or `assistant`."""
    text: str = ""
    audio: Upload | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One request for one answer; None leaves the choice to the task."""

    task: str
    """Name or alias; `conversation` for `turns`."""
    model: str = ""
    """The name that `GET /v1/models` lists; empty is the one that is there."""
    audio: Upload | None = None
    voice: Upload | None = None
    voice_name: str = ""
    """A voice of the service instead of a clip."""
    text: str = ""
    style: str = ""
    examples: tuple[tuple[Upload | str, ...], ...] = ()
    turns: tuple[Turn, ...] = ()
    words: str = ""
    """What a conversation's next turn shall say aloud."""
    speaks: bool = False
    """Whether a conversation's turn is answered in sound."""
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    guidance: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    max_seconds: float | None = None
    max_text: int | None = None
    language: str = "en"
    """The language of the task's prompt."""
    wording: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer as it leaves the replica."""

    text: str
    samples: np.ndarray | None
    """The first clip, `[N]` float32 at 24 kHz; None where the task writes text alone, or where it was streamed."""
    reasoning: list[list[int]]
    """Frames of 8 codes at 5 Hz."""
    reconstruction: list[list[int]]
    """Frames of 8 codes at 12.5 Hz."""
    finished: str
    """`length` where the answer met a cap, else `stop`."""
    seed: int
    model: str
    num_given: int
    """Positions of the prompt."""
    num_written: int
    """Text ids and frames of the answer."""
    input_s: float
    """Seconds of audio that were given."""


class TooLargeError(UniaudioError):
    """What was sent is more than the service takes; the message says how much it takes."""


class UnknownModelError(UniaudioError):
    """The model that a request names is not the one that is served."""
