"""How answers are written.

Options(max_seconds=3, sampling=Sampling(temperature=0.9, top_k=50, seed=7))
model.run("tts", text="Good morning.", max_seconds=3, temperature=0.9, top_k=50, seed=7)    # the same as arguments
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from uniaudio_schemas.errors import UsageError

from uniaudio.audio.frames import RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.lm.grammar import TEXT
from uniaudio.lm.sampling import Sampling
from uniaudio.run.request import plan_of_task
from uniaudio.tasks.prompts import LANGUAGES
from uniaudio.tasks.task import Task

GREEDY = Sampling()
WARM = Sampling(temperature=0.9, top_k=50)
"""The authors' values for audio; text answers are greedy (lm.md 6.4)."""
LONGEST_S, MOST_TEXT = 86_400, 1_000_000
"""A day and about ten novels: nobody means more, and no machine holds the cache for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The defaults fit every task."""

    sampling: Sampling | None = None
    """None: greedy for text, temperature 0.9 and the 50 likeliest codes for audio."""
    max_seconds: float = 30.0
    """Longest audio segment."""
    max_text: int = 256
    """Most text ids of a segment."""
    decode_steps: int | None = None
    """Steps of the codec's flow; None: the codec's own."""
    decode_window_s: float = 0.0
    """Audio that the codec decodes at once; 0: its own windows (20 s), and its shortest (3.2 s) where audio is streamed."""
    language: str = "en"
    """The language of the prompt, one of `LANGUAGES`."""
    wording: int = 0
    """Decides which of the task's prompts is used and where a long voice clip is cut: never the place in a batch."""

    def __post_init__(self) -> None:
        if not 0 < self.max_seconds <= LONGEST_S:
            raise UsageError(f"`max_seconds` must be above 0 and at most {LONGEST_S}, but is {self.max_seconds}.")
        if not 1 <= self.max_text <= MOST_TEXT:
            raise UsageError(f"`max_text` must lie in 1 … {MOST_TEXT}, but is {self.max_text}.")
        if self.language not in LANGUAGES:
            raise UsageError(
                f"`language` of the prompt must be one of {', '.join(LANGUAGES)}, but is {self.language!r}."
            )
        if not 0 <= self.decode_window_s < math.inf:
            raise UsageError(f"`decode_window_s` must be 0 or more seconds, but is {self.decode_window_s}.")

    @property
    def max_frames(self) -> int:
        """Reconstruction frames of the longest audio segment."""
        return max(1, int(self.max_seconds * SAMPLE_RATE) // RECONSTRUCTION_HOP)


def default_sampling(task: Task) -> Sampling:
    """The way to draw answers to a task where the user says nothing about it."""
    return sampling_of(plan_of_task(task))


def sampling_of(plan: Sequence[str]) -> Sampling:
    """The way to draw segments of these kinds where the user says nothing about it."""
    return GREEDY if set(plan) == {TEXT} else WARM


class Arguments(TypedDict, total=False):
    """Keyword arguments of `UniAudio.run` and `UniAudio.stream`, all optional: the fields of `Options` and its `Sampling`, each by one
    name."""

    temperature: float
    """Divides the logits; 0 is greedy. Text answers are greedy unless this is given, audio answers have 0.9."""
    top_k: int
    """Keeps the k likeliest ids; 0 keeps all. Audio answers have 50."""
    top_p: float
    """Keeps the fewest likeliest ids that hold this share of the probability."""
    cfg_scale: float
    """Classifier-free guidance: how far from the answer to the blanked prompt; 1 is off and costs nothing, above 1 twice the work."""
    seed: int
    """Seed of the draws. The same seed, model and machine give the same answer."""
    repetition_penalty: float
    """Weakens ids that came lately; 1 is off."""
    no_repeat_ngram: int
    """Length of runs of text ids that do not come twice; 0 is off."""
    max_seconds: float
    """Longest audio segment."""
    max_text: int
    """Most text ids of a segment."""
    decode_steps: int | None
    """Steps of the codec's flow: fewer are faster and rougher."""
    decode_window_s: float
    """Seconds of audio that the codec decodes at once."""
    language: str
    """Language of the prompt: en, zh or yue."""


_OF_OPTIONS = ("max_seconds", "max_text", "decode_steps", "decode_window_s", "language")


def options_of(task: Task, options: Options | None, arguments: Arguments) -> Options:
    """`options` with what `arguments` change. UsageError where one is unknown or out of range."""
    values: dict[str, Any] = dict(arguments)
    if unknown := sorted(set(values) - set(Arguments.__annotations__)):
        names = ", ".join(Arguments.__annotations__)
        raise UsageError(f"The arguments of an answer must be of {names}, but hold `{unknown[0]}`.")
    result = replace(options or Options(), **{name: values.pop(name) for name in _OF_OPTIONS if name in values})
    if not values:
        return result
    return replace(result, sampling=replace(result.sampling or default_sampling(task), **values))
