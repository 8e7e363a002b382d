"""What the builders yield: examples, and what could not become one. And what they all ask of clips."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction, Recipe

from uniaudio.tasks import TASKS
from uniaudio.tasks.recipes import share_of
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.routes import hash64

MAX_TRIES = 64
"""Clips that are looked at for a partner."""
NOISE_DB = (0.0, 20.0)
"""Speech above the noise."""


@dataclass(frozen=True, slots=True)
class Built:
    """One example."""

    anchor: Annotated
    """The clip that it is an example of: whose corpus and voice it counts for."""
    instruction: Instruction


@dataclass(frozen=True, slots=True)
class NotBuilt:
    anchor: str
    """Clip id."""
    task: str
    reason: str
    detail: str


Outcome = Built | NotBuilt
Outcomes = Iterator[Outcome]


def has_audio(clip: Annotated) -> bool:
    return clip.domain != "text" and clip.num_samples > 0 and clip.sample_rate > 0


def example(
    task: str,
    anchor: Annotated,
    job: AnnotatedToInstructions,
    *,
    clips: Mapping[str, str | Recipe],
    texts: Mapping[str, str] | None = None,
    sources: Sequence[str] = (),
) -> Built:
    """An example of `task` in the corpus, split and language of its anchor."""
    instruction = TASKS[task].instruction(
        texts=texts,
        clips=clips,
        corpus=anchor.corpus,
        split=anchor.split,
        seed=job.seed,
        language=language_of(anchor, job),
        sources=sources,
    )
    return Built(anchor, instruction)


def language_of(clip: Annotated, job: AnnotatedToInstructions) -> str:
    """Which language a clip is asked about in: what is spoken, else English or Chinese."""
    is_chinese = share_of("prompt language", job.seed, clip.clip_id) < job.chinese_prompt_share
    return clip.language or ("zh" if is_chinese else "en")


def are_copies(left: Annotated, right: Annotated) -> bool:
    return left.duplicate_cluster is not None and left.duplicate_cluster == right.duplicate_cluster


def noise_of(*key: object) -> dict[str, Any]:
    """Parameters of `add_noise` that depend on the key alone."""
    low, high = NOISE_DB
    color = "white" if share_of("color", *key) < 0.5 else "pink"
    return {"snr_db": round(low + (high - low) * share_of("snr", *key), 1), "color": color}


def in_ring(clips: Iterable[Annotated]) -> list[Annotated]:
    """Clips in an order in which anyone may follow anyone, and a new clip comes between two others."""
    return sorted(clips, key=lambda clip: (hash64(clip.clip_id), clip.clip_id))


def followers(ring: Sequence[Annotated], place: int) -> Iterator[Annotated]:
    """The clips that follow the one at `place`, without copies of it; at most `MAX_TRIES` are looked at."""
    for step in range(1, min(len(ring), MAX_TRIES)):
        other = ring[(place + step) % len(ring)]
        if not are_copies(ring[place], other):
            yield other


def grouped(
    clips: Iterable[Annotated], key: Callable[[Annotated], Hashable | None]
) -> Iterator[tuple[Hashable, list[Annotated]]]:
    """Clips by key, in the order of the keys; None is in no group."""
    groups: dict[Hashable, list[Annotated]] = defaultdict(list)
    for clip in clips:
        if (group := key(clip)) is not None:
            groups[group].append(clip)
    yield from sorted(groups.items(), key=lambda item: repr(item[0]))
