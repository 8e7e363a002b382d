"""Questions and answers about clips: a value against values that other clips have; sounds in a row, to be counted and ordered."""

from collections.abc import Iterator, Sequence

from uniaudio_schemas.fingerprint import hash_json
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Recipe

from uniaudio.tasks.annotations import kinds_of
from uniaudio.tasks.questions import (
    attributes_of,
    choice_question,
    could_be_both,
    number_word,
    reasoning_of_choice,
    reasoning_of_scene,
)
from uniaudio.tasks.recipes import make_recipe, samples_of, share_of
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import (
    Built,
    NotBuilt,
    Outcomes,
    example,
    followers,
    in_ring,
    language_of,
)

_TASK, _WITH_REASONING = "audio_understanding", "audio_understanding_with_reasoning"
MAX_DISTRACTORS = 3
_NUM_SOUNDS = (2, 4)
_MAX_SCENE_SAMPLES = 30 * 24_000
_GAP_SAMPLES = 7_200
"""Silence between two sounds (0.3 s)."""


def about_values(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Questions about values of clips on the route `ring`: one a clip, with wrong answers from the clips that follow."""
    job = context.job
    values = {clip.clip_id: attributes_of(clip) for clip in clips}
    ring = in_ring(clip for clip in clips if values[clip.clip_id])
    for place, clip in enumerate(ring):
        if share_of("question", job.seed, clip.clip_id) >= job.question_share:
            continue
        kinds = sorted(values[clip.clip_id], key=lambda kind: share_of("kind", job.seed, clip.clip_id, kind))
        for kind in kinds:
            true = values[clip.clip_id][kind]
            others = [values[other.clip_id].get(kind, frozenset()) for other in followers(ring, place)]
            wrong = wrong_values(clip, true, others)
            if wrong:
                answer = sorted(true)[int(len(true) * share_of("answer", job.seed, clip.clip_id))]
                yield from _choice(clip, kind, answer, wrong[:MAX_DISTRACTORS], context)
                break
        else:
            yield NotBuilt(clip.clip_id, _TASK, "no_distractor", "no clip nearby is anything else")


def wrong_values(clip: Annotated, true: frozenset[str], others: Sequence[frozenset[str]]) -> list[str]:
    """Values that others have and the clip has not: none of a clip that shares one with it, none that shares a word with what is true."""
    said = " ".join([*true, clip.caption or "", clip.title or ""])
    apart = [value for some in others if some.isdisjoint(true) for value in sorted(some)]
    return [value for value in dict.fromkeys(apart) if not could_be_both(value, said)]


def _choice(clip: Annotated, kind: str, answer: str, wrong: list[str], context: Context) -> Iterator[Built]:
    seed, language = context.job.seed, language_of(clip, context.job)
    choices = sorted([answer, *wrong], key=lambda value: share_of("choice", seed, clip.clip_id, value))
    question = choice_question(kind, choices, language, hash_json([seed, clip.clip_id, kind]))
    yield _asked(clip, clip.clip_id, question, answer, context)
    reasoning = reasoning_of_choice(clip, kind, choices, answer, language)
    if reasoning is not None:
        yield _asked(clip, clip.clip_id, question, answer, context, reasoning)


def about_scenes(clips: Sequence[Annotated], context: Context) -> Outcomes:
    """Questions about clips on the route `ring`, sounds of different kinds one after the other: how many are there, and which comes first?"""
    job = context.job
    names = {clip.clip_id: next(iter(kinds_of(clip)), "").casefold() for clip in clips if clip.domain == "sound"}
    ring = in_ring(clip for clip in clips if names.get(clip.clip_id))
    least, most = _NUM_SOUNDS
    for place, clip in enumerate(ring):
        if share_of("scene", job.seed, clip.clip_id) >= job.scene_share:
            continue
        num_sounds = least + int((most - least + 1) * share_of("sounds", job.seed, clip.clip_id))
        scene = {names[clip.clip_id]: clip}
        room = _MAX_SCENE_SAMPLES - samples_of(clip)
        for other in followers(ring, place):
            needed = samples_of(other) + _GAP_SAMPLES
            name = names[other.clip_id]
            is_new = not any(could_be_both(name, known) for known in scene)
            if len(scene) < num_sounds and is_new and needed <= room:
                scene[name] = other
                room -= needed
        if len(scene) < least:
            yield NotBuilt(
                clip.clip_id, _TASK, "no_partner", f"no other kind of sound than {names[clip.clip_id]} nearby"
            )
            continue
        yield from _scene(clip, scene, context)


def _scene(clip: Annotated, scene: dict[str, Annotated], context: Context) -> Iterator[Built]:
    seed, language = context.job.seed, language_of(clip, context.job)
    in_order = sorted(scene, key=lambda name: share_of("place", seed, clip.clip_id, name))
    recipe = make_recipe("concatenate", [scene[name] for name in in_order], {"gap_samples": _GAP_SAMPLES})
    reasoning = reasoning_of_scene(in_order, language)
    key = hash_json([seed, clip.clip_id, "scene"])
    count = choice_question("count", [], language, key), number_word(len(in_order), language)
    two = sorted(in_order[:2])
    first = choice_question("first", two, language, key), in_order[0]
    for question, answer in (count, first):
        yield _asked(clip, recipe, question, answer, context)
    # One of the two with its reasons: the thought is the same.
    question, answer = count if share_of("thought", seed, clip.clip_id) < 0.5 else first
    yield _asked(clip, recipe, question, answer, context, reasoning)


def _asked(
    clip: Annotated, audio: str | Recipe, question: str, answer: str, context: Context, reasoning: str | None = None
) -> Built:
    texts = {"question": question, "answer": answer}
    if reasoning is None:
        return example(_TASK, clip, context.job, texts=texts, clips={"audio": audio})
    return example(_WITH_REASONING, clip, context.job, texts={**texts, "reasoning": reasoning}, clips={"audio": audio})
