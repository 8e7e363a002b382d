"""Auditory sentences: long examples of 2 to 8 related segments, which teach a model to use its context.

Five ways to build them: consecutive cuts of one recording; speech and its text in turn; sound or music and its caption in turn; a mixture and
its sources; the same words in several voices. All segments carry loss and there is no prompt. Each builder takes clips that belong together, in
order, and yields as many sentences as the clips give; a clip is in one sentence at most.
"""

from collections.abc import Callable, Iterator, Sequence

from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction, Recipe

from uniaudio.audio.frames import UNIT
from uniaudio.tasks.recipes import audio_positions, make_recipe, samples_of, text_positions
from uniaudio.tasks.task import Task, audio, repeated, text

GROUP = "auditory_sentences"
"""Mixture group of all of them."""
NUM_SEGMENTS = (2, 8)
_PAIRS = (2, 4)
_SOURCES = (2, 7)
_METRICS = ("perplexity",)

CONSECUTIVE = Task(
    name="sentence_consecutive",
    order=repeated(*audio("audio", loss=True)),
    has_prompt=False,
    group=GROUP,
    num_repeats=NUM_SEGMENTS,
    needs=("audio",),
    metrics=_METRICS,
)
TRANSCRIBED = Task(
    name="sentence_transcribed",
    order=repeated(*audio("audio", loss=True), text("transcript", "transcription", loss=True)),
    has_prompt=False,
    group=GROUP,
    num_repeats=_PAIRS,
    needs=("words",),
    metrics=_METRICS,
)
CAPTIONED = Task(
    name="sentence_captioned",
    order=repeated(*audio("audio", loss=True), text("caption", "caption", loss=True)),
    has_prompt=False,
    group=GROUP,
    num_repeats=_PAIRS,
    needs=("tags",),
    metrics=_METRICS,
)
MIXTURE = Task(
    name="sentence_mixture",
    order=(*audio("mixture", loss=True), *repeated(*audio("source", loss=True))),
    has_prompt=False,
    group=GROUP,
    num_repeats=_SOURCES,
    needs=("voice",),
    metrics=_METRICS,
)
SAME_WORDS = Task(
    name="sentence_same_words",
    order=(text("transcript", "transcription", loss=True), *repeated(*audio("audio", loss=True))),
    has_prompt=False,
    group=GROUP,
    num_repeats=_SOURCES,
    needs=("words", "voice"),
    metrics=_METRICS,
)
SENTENCE_TASKS = (CONSECUTIVE, TRANSCRIBED, CAPTIONED, MIXTURE, SAME_WORDS)

MIN_PIECE = 2 * UNIT
"""Shortest piece of a recording that is cut for a sentence: 0.8 s."""


def consecutive(cuts: Sequence[Annotated], max_positions: int) -> Iterator[Instruction]:
    """Build 1: adjacent cuts of one recording, in order."""
    for run in _runs(cuts, _audio_cost, max_positions, NUM_SEGMENTS):
        yield _instruction(CONSECUTIVE, run, clips=_numbered("audio", run))


def consecutive_pieces(clip: Annotated, num_pieces: int, max_positions: int) -> Instruction | None:
    """Build 1 from one clip: its pieces, each of whole frames of both kinds but the last, which takes the rest."""
    num_samples = samples_of(clip)
    piece = num_samples // num_pieces // UNIT * UNIT
    if piece < MIN_PIECE or audio_positions(num_samples) + 6 * num_pieces > max_positions:
        return None
    firsts = [index * piece for index in range(num_pieces)]
    ends = [*firsts[1:], num_samples]
    pieces: dict[str, str | Recipe] = {
        f"audio_{index}": make_recipe("crop", [clip], {"first_sample": first, "num_samples": end - first})
        for index, (first, end) in enumerate(zip(firsts, ends, strict=True), start=1)
    }
    return CONSECUTIVE.instruction(clips=pieces, corpus=clip.corpus, split=clip.split)


def transcribed(
    clips: Sequence[Annotated], words: Callable[[Annotated], str], max_positions: int
) -> Iterator[Instruction]:
    """Build 2: speech and its text in turn; `words` gives the text of a clip."""

    def cost(clip: Annotated) -> int:
        return _audio_cost(clip) + text_positions(words(clip))

    for run in _runs(clips, cost, max_positions, _PAIRS):
        texts = {f"transcript_{index}": words(clip) for index, clip in enumerate(run, start=1)}
        yield _instruction(TRANSCRIBED, run, clips=_numbered("audio", run), texts=texts)


def captioned(clips: Sequence[Annotated], max_positions: int) -> Iterator[Instruction]:
    """Build 3: sound or music and its caption in turn."""

    def cost(clip: Annotated) -> int:
        return _audio_cost(clip) + text_positions(clip.caption or "")

    for run in _runs(clips, cost, max_positions, _PAIRS):
        texts = {f"caption_{index}": clip.caption or "" for index, clip in enumerate(run, start=1)}
        yield _instruction(CAPTIONED, run, clips=_numbered("audio", run), texts=texts)


def mixture(recipe: Recipe, sources: Sequence[Annotated], max_positions: int) -> Instruction | None:
    """Build 4: a mixture, then each of its sources; None where it is too long."""
    if audio_positions(recipe.num_samples) + sum(map(_audio_cost, sources)) > max_positions:
        return None
    return _instruction(MIXTURE, sources, clips={"mixture": recipe, **_numbered("source", sources)})


def same_words(clips: Sequence[Annotated], words: str, max_positions: int) -> Iterator[Instruction]:
    """Build 5: the same words, then several voices that say them."""
    for run in _runs(clips, _audio_cost, max_positions - text_positions(words), _SOURCES):
        yield _instruction(SAME_WORDS, run, clips=_numbered("audio", run), texts={"transcript": words})


def _runs(
    clips: Sequence[Annotated], cost: Callable[[Annotated], int], max_positions: int, bounds: tuple[int, int]
) -> Iterator[list[Annotated]]:
    """Neighbours that fit together, as many as do; runs of fewer than `bounds[0]` clips are left out."""
    least, most = bounds
    run: list[Annotated] = []
    num_positions = 0
    for clip in clips:
        cost_of_clip = cost(clip)
        if run and (len(run) == most or num_positions + cost_of_clip > max_positions):
            if len(run) >= least:
                yield run
            run, num_positions = [], 0
        # One that is too long alone also ends the run: its neighbours are not neighbours of each other.
        if cost_of_clip <= max_positions:
            run.append(clip)
            num_positions += cost_of_clip
    if len(run) >= least:
        yield run


def _audio_cost(clip: Annotated) -> int:
    return audio_positions(samples_of(clip))


def _numbered(name: str, clips: Sequence[Annotated]) -> dict[str, str | Recipe]:
    return {f"{name}_{index}": clip.clip_id for index, clip in enumerate(clips, start=1)}


def _instruction(
    task: Task,
    clips_used: Sequence[Annotated],
    *,
    clips: dict[str, str | Recipe],
    texts: dict[str, str] | None = None,
) -> Instruction:
    return task.instruction(texts=texts, clips=clips, corpus=clips_used[0].corpus, split=clips_used[0].split)
