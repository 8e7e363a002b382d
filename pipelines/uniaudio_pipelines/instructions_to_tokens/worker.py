"""One unit of clips to one shard of codes: render, encode one by one, drop with a reason what cannot be."""

import logging
from functools import cached_property

import numpy as np
from uniaudio_schemas.annotated import Annotated
from uniaudio_schemas.codec import CodecRow
from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.instructions import Instruction, Recipe
from uniaudio_schemas.manifest import Manifest, Plan
from uniaudio_schemas.raw import Raw
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.tokens import Tokens

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.render import render_clip, render_recipe
from uniaudio.codec.codec import ReasoningCodec
from uniaudio_pipelines.edge import ShardResult
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens, wanted_clips
from uniaudio_pipelines.jobs import parent

log = logging.getLogger(__name__)


class TokenWorker:
    def __init__(self, store_root: str, job: InstructionsToTokens, plan: Plan) -> None:
        self._store, self._job = Store(store_root), job
        self._instructions = parent(self._store, "instructions", "build-multitask-data", job.instructions_ref)
        codec_version = parent(self._store, "codec", "train-codec", job.codec_ref)
        current = {"instructions": self._instructions.content_id, "codec": codec_version.content_id}
        if current != plan.parents:
            raise UsageError("`instructions` or `codec` has changed since this job was planned: run the flow again.")
        row = next(self._store.rows(codec_version, CodecRow))
        self._codec = ReasoningCodec.load_files(row.config, self._store.open_blob(row.weights)).to(job.device)
        self._metadata = {"codec_fingerprint": row.codec_id, "numerics": plan.numerics}
        planned = set(plan.units)
        held = {clip for shard in plan.reused for clip in _clips(self._store, shard.sha256)}
        missing = {clip: corpus for clip, corpus in wanted_clips(self._store, self._instructions).items() if clip not in held}
        self._units = {unit: clips for unit, clips in job.units(missing).items() if unit in planned}

    def process(self, unit: str) -> ShardResult:
        made: list[Tokens] = []
        dropped = []
        for clip_id in self._units[unit]:
            try:
                codes = self._codec.encode([self._samples(clip_id)])[0]
            except (DataError, UsageError) as error:
                dropped.append(Dropped(row_id=clip_id, reason="unreadable", detail=str(error), unit=unit))
                continue
            made.append(
                Tokens(
                    clip_id=clip_id,
                    num_samples=codes.num_samples,
                    reasoning_codes=codes.reasoning,
                    reconstruction_codes=codes.reconstruction,
                )
            )
        audio_s = sum(row.num_samples for row in made) / SAMPLE_RATE
        return ShardResult(rows=made, dropped=dropped, metadata=self._metadata, statistics={"audio_s": audio_s})

    def _samples(self, clip_id: str) -> np.ndarray:
        recipe = self._recipes.get(clip_id)
        if recipe is not None:
            return render_recipe(recipe, [self._samples(parent_id) for parent_id in recipe.parents])
        if clip_id not in self._annotated:
            raise DataError(f"clip {clip_id}: no row of `annotated` has this id.")
        clip = self._annotated[clip_id]
        return render_clip(self._store, clip, self._raw[clip.raw_clip_id])

    @cached_property
    def _recipes(self) -> dict[str, Recipe]:
        rows = self._store.rows(self._instructions, Instruction)
        return {recipe.clip_id: recipe for row in rows for recipe in row.recipes}

    @cached_property
    def _annotated_version(self) -> Manifest:
        return _by_content(self._store, "annotated", self._instructions.parents["annotated"])

    @cached_property
    def _annotated(self) -> dict[str, Annotated]:
        return {row.clip_id: row for row in self._store.rows(self._annotated_version, Annotated)}

    @cached_property
    def _raw(self) -> dict[str, Raw]:
        version = _by_content(self._store, "raw", self._annotated_version.parents["raw"])
        return {row.clip_id: row for row in self._store.rows(version, Raw)}


def _by_content(store: Store, kind: str, content_id: str) -> Manifest:
    for manifest in store.versions(kind):
        if manifest.content_id == content_id:
            return manifest
    raise DataError(f"{kind} {content_id[:8]}: this version is not in the store any more.")


def _clips(store: Store, sha256: str) -> list[str]:
    for version in store.versions("tokens"):
        for shard in version.shards:
            if shard.sha256 == sha256:
                return list(store.table_of_shard(version, shard)["clip_id"].to_pylist())
    return []
