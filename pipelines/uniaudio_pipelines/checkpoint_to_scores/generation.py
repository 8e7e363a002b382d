"""Answers to prompts in batches, each kept as soon as it is there: by checkpoint, prompt, plan, caps and numerics, so that a run that was
killed goes on behind the last batch, and a new metric generates nothing again.

Writes   <store>/cache/answers/<checkpoint>/<key>.json: {"segments": [{"kind": "text", "ids": [84, …], "finished": "stop"}]}
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from uniaudio_schemas.fingerprint import hash_bytes, hash_json, short

from uniaudio.lm.answer import Generated, GeneratedSegment
from uniaudio.lm.generate import generate
from uniaudio.lm.grammar import TEXT, grammar_of
from uniaudio.sequence.layout import Grid
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.jobs import cache_folder
from uniaudio_pipelines.kept import Kept

_FORMAT = 1


def _read(kept: Kept, key: str) -> list[GeneratedSegment] | None:
    value = kept.read(key)
    try:
        return (
            None if value is None else [_segment(one["kind"], one["ids"], one["finished"]) for one in value["segments"]]
        )
    except (KeyError, TypeError, ValueError):
        return None


def _write(kept: Kept, key: str, answer: Generated) -> None:
    segments = [{"kind": one.kind, "ids": one.ids.tolist(), "finished": one.finished} for one in answer.segments]
    kept.write(key, {"segments": segments})


@dataclass(frozen=True, slots=True)
class Wanted:
    """An answer that is to be written."""

    prompt: Grid
    plan: tuple[str, ...]
    """Kinds of its segments."""
    max_text: int | None = None
    """Most text tokens of the answer, where they are fewer than the job's."""


def answers(evaluation: Evaluation, wanted: Sequence[Wanted]) -> list[Generated]:
    """The likeliest token at each step, in the order of `wanted`. Of whatever task, those of one plan and length are written together."""
    job = evaluation.job
    cache = Kept(cache_folder(evaluation.store) / "answers" / evaluation.checkpoint.checkpoint_id)
    keys = [_key(evaluation, one) for one in wanted]
    segments_by_key = {key: segments for key in dict.fromkeys(keys) if (segments := _read(cache, key)) is not None}
    unanswered = {key: one for key, one in zip(keys, wanted, strict=True) if key not in segments_by_key}
    groups: dict[tuple[Any, ...], list[str]] = {}
    # Prompts of about one length stand together: the shorter ones of a batch are filled up.
    for key, one in sorted(unanswered.items(), key=lambda pair: (len(pair[1].prompt), pair[0])):
        groups.setdefault((one.plan, _max_text(evaluation, one)), []).append(key)
    for (plan, max_text), todo in groups.items():
        for batch in batches(todo, job.batch_size):
            batch_answers = generate(
                evaluation.model,
                [unanswered[key].prompt for key in batch],
                vocabulary=evaluation.vocabulary,
                mode=plan,
                max_frames=job.max_frames,
                max_text=max_text,
            )
            for key, answer in zip(batch, batch_answers, strict=True):
                _write(cache, key, answer)
                segments_by_key[key] = list(answer.segments)
    specials = grammar_of(evaluation.vocabulary).text_specials
    return [Generated(tuple(segments_by_key[key]), specials) for key in keys]


def batches(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """`size` at a time."""
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _max_text(evaluation: Evaluation, wanted: Wanted) -> int:
    return min(evaluation.job.max_text, wanted.max_text or evaluation.job.max_text)


def _key(evaluation: Evaluation, wanted: Wanted) -> str:
    prompt, caps = wanted.prompt, [evaluation.job.max_frames, _max_text(evaluation, wanted)]
    given = [
        prompt.ids.shape,
        hash_bytes(np.ascontiguousarray(prompt.ids).tobytes()),
        hash_bytes(prompt.is_audio.tobytes()),
    ]
    return short(hash_json([_FORMAT, given, list(wanted.plan), caps, "greedy", evaluation.plan.numerics]))


def _segment(kind: str, ids: list[int] | list[list[int]], finished: str) -> GeneratedSegment:
    dtype, shape = (np.int32, (len(ids),)) if kind == TEXT else (np.int16, (len(ids), 8))
    return GeneratedSegment(kind, np.array(ids, dtype).reshape(shape), finished)  # type: ignore[arg-type]
