"""Few-shot examples: one to three solved pairs, then a question of the same kind.

speech_enhancement   clips of one corpus, all degraded in one way -> the clips as they are
voice_conversion     one speaker's words -> the same words by another: real recordings where both say the same sentences, and one voice
                     made of the other (`shift_voice`, one ratio throughout an example)

Only the answer to the question carries loss. No pair shows a copy of the answer. Each function takes clips of one corpus and one split.
"""

from collections.abc import Sequence
from typing import Any

from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Recipe

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.tasks import TASKS
from uniaudio.tasks.annotations import letters_of, words_of
from uniaudio.tasks.recipes import make_recipe, positions_of, samples_of, share_of
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import (
    Built,
    NotBuilt,
    Outcomes,
    example,
    followers,
    grouped,
    in_ring,
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


def enhancements(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Few-shot enhancements of clips on the route `ring`."""
    job = context.job
    ring = in_ring(clip for clip in clips if _may_be_said(clip, context))
    for place, query in enumerate(ring):
        if not _is_chosen(_ENHANCEMENT, query, job):
            continue
        operation, parameters = _degradation(job.seed, query.clip_id)

        def pair(clip: Annotated, operation: str = operation, parameters: dict[str, Any] = parameters) -> Pair:
            # One room for all; noise that is equal in two clips would give itself away.
            seed = job.seed if operation == "reverberate" else int(2**31 * share_of("noise", job.seed, clip.clip_id))
            return make_recipe(operation, [clip], parameters, seed=seed), clip

        pairs = [pair(clip) for clip in followers(ring, place)]
        yield _example(_ENHANCEMENT, pairs, pair(query), job)


def made_conversions(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Few-shot voice conversions of clips of one voice, with a made target."""
    job = context.job
    ring = in_ring(clip for clip in clips if _may_be_said(clip, context))
    low, high = _SHIFTS
    for place, query in enumerate(ring):
        if not _is_chosen(_CONVERSION, query, job):
            continue
        ratio = low + (high - low) * share_of("ratio", job.seed, query.clip_id)
        if share_of("down", job.seed, query.clip_id) < 0.5:
            ratio = 1 / ratio
        voice_clips = [*followers(ring, place), query]
        pairs: list[Pair] = [
            (make_recipe("shift_voice", [clip], {"ratio": round(ratio, 2)}), clip) for clip in voice_clips
        ]
        yield _example(_CONVERSION, pairs[:-1], pairs[-1], job)


def recorded_conversions(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Few-shot voice conversions from clips on the route `words`: another speaker says the same words, in two sentences of the speaker or more."""
    job = context.job
    ring = in_ring(clip for clip in clips if clip.speaker and _may_be_said(clip, context))
    said = dict(grouped(ring, lambda clip: letters_of(words_of(clip)) or None))
    for _, voice in grouped(ring, lambda clip: clip.speaker):
        for place, query in enumerate(voice):
            if _is_chosen(_CONVERSION, query, job):
                pairs = _recorded(query, list(followers(voice, place)), said)
                if pairs:
                    yield _example(_CONVERSION, pairs[:-1], pairs[-1], job)


def _may_be_said(clip: Annotated, context: Context) -> bool:
    return clip.domain == "speech" and context.refusal(clip) is None


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


def _recorded(query: Annotated, others: Sequence[Annotated], said: dict[Any, list[Annotated]]) -> list[Pair]:
    """Pairs of the speaker who says most of what the speaker of `query` says, the question last; empty where nobody says two
    sentences of it."""
    spoken_by: dict[str, list[Pair]] = {}
    for clip in [*others, query]:
        same = said.get(letters_of(words_of(clip)), [])
        alike = {other.speaker: other for other in same if other.speaker != query.speaker}
        for speaker, other in alike.items():
            if speaker:
                spoken_by.setdefault(speaker, []).append((other, clip))
    candidates = [pairs for pairs in spoken_by.values() if len(pairs) > 1 and pairs[-1][1] is query]
    return max(candidates, key=lambda pairs: (len(pairs), pairs[-1][0].clip_id), default=[])


def _example(task: str, pairs: Sequence[Pair], question: Pair, job: AnnotatedToInstructions) -> Built | NotBuilt:
    """Example with as many of `pairs` as are drawn and fit, then the question."""
    query = question[1]
    if not pairs:
        where = f"of {query.speaker or query.speaker_cluster} " if task == _CONVERSION else ""
        return NotBuilt(query.clip_id, task, "no_partner", f"{task}: no other clip {where}in {query.split}")
    least, most = TASKS[task].num_repeats
    num_shots = least + int((most - least + 1) * share_of("shots", job.seed, task, query.clip_id))
    example_pairs = [*pairs[:num_shots], question]
    num_samples = {
        clip.clip_id: samples_of(clip) for pair in example_pairs for clip in pair if isinstance(clip, Annotated)
    }
    for count in range(min(num_shots, len(pairs)), 0, -1):
        built = example(task, query, job, clips=_filled(pairs[:count], question))
        if positions_of(built.instruction, num_samples) <= job.max_sentence_positions:
            break
    return built


def _filled(pairs: Sequence[Pair], question: Pair) -> dict[str, str | Recipe]:
    """Slot -> clip."""
    slots = {
        f"example_{part}_{number}": clip
        for number, pair in enumerate(pairs, start=1)
        for part, clip in zip(("source", "target"), pair, strict=True)
    }
    filled = {**slots, "source": question[0], "target": question[1]}
    return {name: clip if isinstance(clip, Recipe) else clip.clip_id for name, clip in filled.items()}
