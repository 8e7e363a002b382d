"""Few-shot examples: one to three solved pairs, then a question of the same kind.

speech_enhancement   clips of one corpus, all degraded in one way -> the clips as they are
voice_conversion     one speaker's words -> the same words by another: real recordings where both say the same sentences; else the one
                     voice is made of the other (`shift_voice`, one ratio throughout an example)

Only the answer to the question carries loss. No pair shows a copy of the answer.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.instructions import Instruction, Recipe

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.tasks import TASKS
from uniaudio.tasks.recipes import make_recipe, positions_of, samples_of, share_of
from uniaudio_pipelines.annotated_to_instructions.examples import (
    Built,
    NotBuilt,
    Outcomes,
    grouped,
    is_target,
    letters_of,
    noise_of,
)
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions

Pair = tuple[Annotated | Recipe, Annotated]
"""What is given, and what is to be said."""
_ENHANCEMENT, _CONVERSION = "speech_enhancement", "voice_conversion"
_CUTOFF_HZ = (2_000, 5_000)
_DECAY_S = (0.2, 0.8)
_SHIFTS = (1.15, 1.4)
"""Other voices have pitch and formants so many times as high, or as low."""
_MAX_TRIES = 64
"""Clips looked at for pairs."""


def few_shot(clips: Sequence[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    """The examples of the speech `clips` of one corpus and one split."""
    spoken = [clip for clip in clips if clip.domain == "speech" and is_target(clip, job.min_mos)]
    ring = sorted(spoken, key=lambda clip: share_of("few_shot", job.seed, clip.clip_id))
    yield from _enhancements(ring, job)
    yield from _conversions(ring, job)


def _enhancements(ring: Sequence[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    for place, query in enumerate(ring):
        if not _is_chosen(_ENHANCEMENT, query, job):
            continue
        operation, parameters = _degradation(job.seed, query.clip_id)

        def pair(clip: Annotated, operation: str = operation, parameters: dict[str, Any] = parameters) -> Pair:
            # One room for all; noise that is equal in two clips would give itself away.
            seed = job.seed if operation == "reverberate" else int(2**31 * share_of("noise", job.seed, clip.clip_id))
            return make_recipe(operation, [clip], parameters, seed=seed), clip

        pairs = [pair(clip) for clip in _others(ring, place)]
        yield _example(_ENHANCEMENT, pairs, pair(query), job)


def _conversions(ring: Sequence[Annotated], job: AnnotatedToInstructions) -> Outcomes:
    said = {words: found for words, found in grouped(ring, lambda clip: letters_of(clip) or None)}
    for _, voice in grouped(ring, lambda clip: clip.speaker):
        for place, query in enumerate(voice):
            if not _is_chosen(_CONVERSION, query, job):
                continue
            others = list(_others(voice, place))
            *pairs, question = _recorded(query, others, said) or _made(query, others, job)
            yield _example(_CONVERSION, pairs, question, job)


def _is_chosen(task: str, query: Annotated, job: AnnotatedToInstructions) -> bool:
    return share_of(task, job.seed, query.clip_id) < job.few_shot_share


def _degradation(*key: object) -> tuple[str, dict[str, Any]]:
    """Operation and parameters that depend on the key alone: noise, a narrow band, or a room."""
    kind, strength = int(3 * share_of("kind", *key)), share_of("strength", *key)
    if kind == 0:
        return "add_noise", noise_of(*key)
    low, high = _CUTOFF_HZ if kind == 1 else _DECAY_S
    value = low + (high - low) * strength
    if kind == 1:
        return "band_limit", {"cutoff_hz": round(value)}
    return "reverberate", {"decay_samples": round(value * SAMPLE_RATE)}


def _others(ring: Sequence[Annotated], place: int) -> Iterator[Annotated]:
    """The clips that follow in the ring, without copies of the one at `place`."""
    query = ring[place]
    for step in range(1, min(len(ring), _MAX_TRIES)):
        other = ring[(place + step) % len(ring)]
        if query.duplicate_cluster is None or other.duplicate_cluster != query.duplicate_cluster:
            yield other


def _recorded(query: Annotated, others: Sequence[Annotated], said: dict[Any, list[Annotated]]) -> list[Pair]:
    """Pairs of the speaker who says most of what the speaker of `query` says, the question last; empty where nobody says two
    sentences of it."""
    spoken_by: dict[str, list[Pair]] = {}
    for clip in [*others, query]:
        alike = {other.speaker: other for other in said.get(letters_of(clip), []) if other.speaker != query.speaker}
        for speaker, other in alike.items():
            if speaker:
                spoken_by.setdefault(speaker, []).append((other, clip))
    found = [pairs for pairs in spoken_by.values() if len(pairs) > 1 and pairs[-1][1] is query]
    return max(found, key=lambda pairs: (len(pairs), pairs[-1][0].clip_id), default=[])


def _made(query: Annotated, others: Sequence[Annotated], job: AnnotatedToInstructions) -> list[Pair]:
    low, high = _SHIFTS
    ratio = low + (high - low) * share_of("ratio", job.seed, query.clip_id)
    if share_of("down", job.seed, query.clip_id) < 0.5:
        ratio = 1 / ratio
    return [(make_recipe("shift_voice", [clip], {"ratio": round(ratio, 2)}), clip) for clip in [*others, query]]


def _example(task: str, pairs: Sequence[Pair], question: Pair, job: AnnotatedToInstructions) -> Built | NotBuilt:
    """As many of `pairs` as are drawn and fit, then the question."""
    query = question[1]
    if not pairs:
        where = f"of {query.speaker} " if task == _CONVERSION else ""
        return NotBuilt(query.clip_id, "no_partner", f"{task}: no other clip {where}in {query.split}")
    least, most = TASKS[task].num_repeats
    wanted = least + int((most - least + 1) * share_of("shots", job.seed, task, query.clip_id))
    clips = [clip for pair in [*pairs, question] for clip in pair if isinstance(clip, Annotated)]
    num_samples = {clip.clip_id: samples_of(clip) for clip in clips}
    for count in range(min(wanted, len(pairs)), 0, -1):
        instruction = _instruction(task, pairs[:count], question, job.seed)
        if positions_of(instruction, num_samples) <= job.max_sentence_positions:
            break
    return Built(query.clip_id, instruction)


def _instruction(task: str, pairs: Sequence[Pair], question: Pair, seed: int) -> Instruction:
    shown = {
        f"example_{part}_{number}": clip
        for number, pair in enumerate(pairs, start=1)
        for part, clip in zip(("source", "target"), pair, strict=True)
    }
    filled = {**shown, "source": question[0], "target": question[1]}
    query = question[1]
    return TASKS[task].instruction(
        clips={name: clip if isinstance(clip, Recipe) else clip.clip_id for name, clip in filled.items()},
        corpus=query.corpus,
        split=query.split,
        seed=seed,
        language=query.language or "en",
    )
