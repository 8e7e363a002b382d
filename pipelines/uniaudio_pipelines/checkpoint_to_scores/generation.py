"""Answers to prompts in batches, each kept as soon as it is there: by checkpoint, prompt, plan, caps and numerics, so that a run that was
killed goes on behind the last batch, and a new metric generates nothing again.

Writes   <store>/cache/answers/<checkpoint>/<key>.json: {"segments": [{"kind": "text", "ids": [84, …], "finished": "stop"}]}
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from uniaudio_schemas.fingerprint import hash_bytes, hash_json, short

from uniaudio.lm.answer import Generated, GeneratedSegment
from uniaudio.lm.generate import generate
from uniaudio.lm.grammar import TEXT, grammar_of
from uniaudio.sequence.layout import Grid
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.jobs import cache_folder

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """Answers of one checkpoint on this machine."""

    folder: Path

    def read(self, key: str) -> list[GeneratedSegment] | None:
        """None where there is none, or half of one."""
        try:
            segments = json.loads((self.folder / f"{key}.json").read_text())["segments"]
            return [_segment(one["kind"], one["ids"], one["finished"]) for one in segments]
        except (OSError, ValueError, KeyError):
            return None

    def write(self, key: str, answer: Generated) -> None:
        segments = [{"kind": one.kind, "ids": one.ids.tolist(), "finished": one.finished} for one in answer.segments]
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".{key}-{os.getpid()}"
        unfinished.write_text(json.dumps({"segments": segments}))
        unfinished.replace(self.folder / f"{key}.json")


def answers(
    evaluation: Evaluation, prompts: Sequence[Grid], plan: Sequence[str], max_text: int | None = None
) -> list[Generated]:
    """The likeliest token at each step, segment kinds as `plan` says; in the order of `prompts`. `max_text`: less than the job's."""
    job = evaluation.job
    kept = Kept(cache_folder(evaluation.store) / "answers" / evaluation.checkpoint.checkpoint_id)
    caps = (job.max_frames, min(job.max_text, max_text or job.max_text))
    keys = [_key(evaluation, prompt, plan, caps) for prompt in prompts]
    found = {key: segments for key in dict.fromkeys(keys) if (segments := kept.read(key)) is not None}
    missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in found}
    todo = list(missing)
    for start in range(0, len(todo), job.batch_size):
        batch = todo[start : start + job.batch_size]
        made = generate(
            evaluation.model,
            [missing[key] for key in batch],
            vocabulary=evaluation.vocabulary,
            mode=tuple(plan),
            max_frames=caps[0],
            max_text=caps[1],
        )
        for key, answer in zip(batch, made, strict=True):
            kept.write(key, answer)
            found[key] = list(answer.segments)
    specials = grammar_of(evaluation.vocabulary).text_specials
    return [Generated(tuple(found[key]), specials) for key in keys]


def _key(evaluation: Evaluation, prompt: Grid, plan: Sequence[str], caps: tuple[int, int]) -> str:
    given = [
        prompt.ids.shape,
        hash_bytes(np.ascontiguousarray(prompt.ids).tobytes()),
        hash_bytes(prompt.is_audio.tobytes()),
    ]
    return short(hash_json([_FORMAT, given, list(plan), list(caps), "greedy", evaluation.plan.numerics]))


def _segment(kind: str, ids: list, finished: str) -> GeneratedSegment:
    dtype, shape = (np.int32, (len(ids),)) if kind == TEXT else (np.int16, (len(ids), 8))
    return GeneratedSegment(kind, np.array(ids, dtype).reshape(shape), finished)  # type: ignore[arg-type]
