"""What an annotator is given (a clip) and what it gives back (values of columns)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from uniaudio_schemas.kinds.raw import Raw

ANALYSIS_RATE = 16_000
"""Sample rate in Hz that every speech model here was trained at."""
SPEECH, SOUND, MUSIC, TEXT = "speech", "sound", "music", "text"


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """One value of one column."""

    column: str
    value: Any
    confidence: float | None = None


@dataclass(kw_only=True)
class Clip:
    """One cut of a raw clip, or a passage of a document, and what is known of it so far."""

    raw: Raw
    domain: str
    first_sample: int = 0
    samples: np.ndarray = field(default_factory=lambda: np.zeros((1, 0), np.float32))
    """`[C, N]` float32 at the raw clip's rate; empty for text."""
    analysis: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    """`[N]` float32, mono at 16 kHz."""
    speech_probabilities: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    """One for each 32 ms of `analysis`."""
    text: str | None = None
    """The passage, for text."""
    known: dict[str, Any] = field(default_factory=dict)
    """Columns set by annotators that came before."""

    @property
    def sample_rate(self) -> int:
        return self.raw.sample_rate

    @property
    def num_samples(self) -> int:
        return int(self.samples.shape[1])

    @cached_property
    def is_whole(self) -> bool:
        return self.first_sample == 0 and self.num_samples == self.raw.num_samples


class Annotator(Protocol):
    """Answers are a function of the clip alone: neither its neighbours nor what came before it matter. So a clip that was asked before
    is not asked again, unless the version of the annotator, or of one whose columns it reads, is another.

    Made once a worker from the folder of models, for `cpu` or `cuda`; a package or a file that is missing is a `UsageError` then.
    """

    name: ClassVar[str]
    domains: ClassVar[frozenset[str]]
    """Kinds of clips it is asked about."""
    reads: ClassVar[frozenset[str]]
    """Columns of annotators before it that it looks at in `Clip.known`."""
    writes: ClassVar[frozenset[str]]
    """Columns it may fill."""

    def __init__(self, models: Path, device: str) -> None: ...

    @classmethod
    def version(cls) -> str:
        """Changes when code or packages change the answers; cheap, because plans name it. Of weights see `table.versions`."""
        ...

    def annotate(self, clip: Clip) -> list[Value]: ...


@runtime_checkable
class BatchAnnotator(Annotator, Protocol):
    """One whose model takes several clips at once. The answers do not depend on which clips share a batch."""

    batch_size: ClassVar[int]

    def annotate_batch(self, clips: Sequence[Clip]) -> list[list[Value]]: ...


def version_of(annotator: Annotator) -> str:
    """Version of an annotator, with the weights that it was loaded with, where it has some."""
    weights = getattr(annotator, "weights_id", "")
    return f"{annotator.version()}-{weights}" if weights else annotator.version()


def ask(annotator: Annotator, clips: Sequence[Clip]) -> list[list[Value]]:
    """The values of each of `clips`, in batches where the annotator takes batches."""
    if not isinstance(annotator, BatchAnnotator):
        return [annotator.annotate(clip) for clip in clips]
    size = annotator.batch_size
    batches = [clips[first : first + size] for first in range(0, len(clips), size)]
    return [values for batch in batches for values in annotator.annotate_batch(batch)]
