"""What builders know besides the clips they are given: the job, and what follows from all corpora together."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from uniaudio_schemas.kinds.annotated import Annotated, Word

from uniaudio.tasks.annotations import is_synthetic
from uniaudio.tasks.recipes import share_of
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions

WordTimes = dict[str, tuple[list[Word], list[Word]]]
"""Clip id -> words of the transcript, and of the given text."""


@dataclass(frozen=True, slots=True)
class Background:
    """A sound that speech may be heard over."""

    clip: Annotated
    own: int
    """Hash of its id."""


def _no_backgrounds(split: str) -> list[Background]:
    return []


def _no_words(clip_ids: Iterable[str]) -> WordTimes:
    return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    job: AnnotatedToInstructions
    synthetic_share: float = 1.0
    """Share of the clips in which a machine speaks that may be a target."""
    backgrounds: Callable[[str], list[Background]] = _no_backgrounds
    """Backgrounds of a split, in the order of their hashes."""
    words: Callable[[Iterable[str]], WordTimes] = _no_words

    def refusal(self, clip: Annotated) -> tuple[str, str] | None:
        """Reason and detail why a model may not learn to speak like that; None where it may."""
        if clip.domain != "speech":
            return None
        if clip.mos is not None and clip.mos < self.job.min_mos:
            return "low_mos", f"DNSMOS {clip.mos:.2f}, at least {self.job.min_mos}: no target"
        if is_synthetic(clip) and share_of("synthetic", self.job.seed, clip.clip_id) >= self.synthetic_share:
            return "over_synthetic_share", f"a machine speaks; {self.synthetic_share:.1%} of such clips are targets"
        return None
