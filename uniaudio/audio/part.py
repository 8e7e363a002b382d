"""What of a file is decoded, and how: the plan that recognition makes and reading follows.

Row  Part(pieces=((45, 31796),), demuxer="mp3", num_samples=89856, is_exact=False)
"""

from dataclasses import dataclass, field

from uniaudio.audio.problem import Problem
from uniaudio.audio.splice import Piece

MAX_MISSING_EXACT = 1 / 25_000
"""Share of the samples that may be missing where the header counts them: 2 ms of a minute, which cutters of tracks lose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One file within the file: decoded by itself, from its first sample to its last."""

    pieces: tuple[Piece, ...]
    """What the decoder of this part sees."""
    demuxer: str | None = None
    """FFmpeg's demuxer; None for libsndfile."""
    fallback: str | None = None
    """FFmpeg's demuxer, where libsndfile refuses what is sound: it calls an Ogg Opus malformed whose first page of samples is its last."""
    num_samples: int | None = None
    """Samples a channel that the file promises, None where the decoder has to say."""
    container_promises: bool = False
    """Whether the length that FFmpeg tells is the container's own and no estimate from the bit rate."""
    is_exact: bool = True
    """Whether the promise is kept to the sample, but for `MAX_MISSING_EXACT`. A lossy codec has whole frames and delays that containers forget, so it may
    miss by a decoded frame without a word, and by more with a recorded problem.
    """


@dataclass(kw_only=True, slots=True)
class Layout:
    """All parts of a file, in order, and what is wrong with it as far as the bytes tell."""

    parts: list[Part] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def note(self, kind: str, detail: str) -> None:
        self.problems.append(Problem(kind=kind, detail=detail))
