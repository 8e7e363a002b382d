"""Clips of one unit to one shard of tokens: codes that are in the store are taken over, the others are made."""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import DataError, FingerprintError, UsageError
from uniaudio_schemas.fingerprint import numerics
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.kinds.instructions import Instruction, Recipe
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import rows
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.render import render_clip, render_recipe
from uniaudio_pipelines.edge import ShardResult
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens

if TYPE_CHECKING:
    from uniaudio.codec.codec import ReasoningCodec

log = logging.getLogger(__name__)

SILENT_BELOW = 1e-4
"""Peak (-80 dBFS) under which a clip says nothing."""


class _DropError(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class TokenWorker:
    """Holds the codec; one a device."""

    def __init__(self, store_root: str, job: InstructionsToTokens, plan: Plan) -> None:
        here = numerics(job.device)
        if here != plan.numerics:
            raise FingerprintError(f"The plan is for numerics {plan.numerics}, but this machine has {here}.")
        self._store, self._job, self._plan = Store(store_root), job, plan
        self._instructions = self._store.version_with("instructions", plan.parents["instructions"])
        self._annotated = self._store.version_with("annotated", plan.parents["annotated"])
        self._raw = self._store.version_with("raw", plan.parents["raw"])
        self._codec_row = next(self._store.rows(self._store.version_with("codec", plan.parents["codec"]), CodecRow))
        self._metadata = {
            "codec_fingerprint": self._codec_row.codec_id,
            "numerics": plan.numerics,
            "code_version": plan.code_version,
        }
        self._clips = job.clips_by_unit(self._store, self._instructions, self._annotated)
        self._known = list(self._tables_with_codes())
        self._codec: Any = None

    def process(self, unit: str) -> ShardResult:
        clips = self._clips[unit]
        recipes = self._recipes(set(clips))
        found = self._codes_in_store(clips)
        audio = _Audio(self._store, self._annotated, self._raw, _rendered(clips, recipes, found))
        made: list[Tokens] = []
        dropped: list[Dropped] = []
        for clip in clips:
            try:
                made.append(self._kept(found[clip]) if clip in found else self._encode(clip, recipes.get(clip), audio))
            except _DropError as error:
                dropped.append(Dropped(row_id=clip, reason=error.reason, detail=error.detail, unit=unit))
        log.info("tokens %s: %d of %d clips were encoded before", unit, len(found), len(clips))
        seconds = sum(row.num_samples for row in made) / SAMPLE_RATE
        return ShardResult(rows=made, dropped=dropped, metadata=self._metadata, statistics={"audio_s": seconds})

    def _encode(self, clip: str, recipe: Recipe | None, audio: "_Audio") -> Tokens:
        try:
            samples = audio.clip(clip) if recipe is None else audio.recipe(recipe)
        except (DataError, UsageError) as error:
            raise _DropError("unreadable", str(error)) from error
        self._check_length(len(samples))
        peak = float(np.abs(samples).max())
        # Not `peak < …`: that would let NaN through.
        if not peak >= SILENT_BELOW:
            raise _DropError("silent", f"peak {peak:.1e}, at least {SILENT_BELOW:.1e}")
        (codes,) = self._loaded_codec().encode([samples])
        return Tokens(
            clip_id=clip,
            num_samples=codes.num_samples,
            reasoning_codes=codes.reasoning,
            reconstruction_codes=codes.reconstruction,
        )

    def _kept(self, row: Tokens) -> Tokens:
        self._check_length(row.num_samples)
        return row

    def _check_length(self, num_samples: int) -> None:
        if num_samples < self._job.min_samples:
            raise _DropError("too_short", f"{num_samples} samples, at least {self._job.min_samples}")

    def _loaded_codec(self) -> "ReasoningCodec":
        """Loaded when the first clip needs it: a unit whose codes are all there costs no model."""
        if self._codec is None:
            from uniaudio.codec.codec import ReasoningCodec

            weights = self._store.open_blob(self._codec_row.weights)
            self._codec = ReasoningCodec.load_files(self._codec_row.config, weights).to(self._job.device)
        return self._codec

    def _recipes(self, clips: set[str]) -> dict[str, Recipe]:
        found: dict[str, Recipe] = {}
        for table in self._store.tables(self._instructions):
            with_recipes = table.filter(pc.greater(pc.list_value_length(table["recipes"]), 0))
            for row in rows(with_recipes.combine_chunks(), Instruction):
                found.update((recipe.clip_id, recipe) for recipe in row.recipes if recipe.clip_id in clips)
        return found

    def _tables_with_codes(self) -> Iterator[pa.Table]:
        """Shards of any version made by this codec, these numerics and this code."""
        seen: set[str] = set()
        for manifest in self._store.versions("tokens"):
            for shard in manifest.shards:
                metadata = self._store.shard_metadata(manifest, shard)
                same = all(metadata.get(name) == value for name, value in self._metadata.items())
                if same and shard.sha256 not in seen:
                    seen.add(shard.sha256)
                    yield self._store.table_of_shard(manifest, shard)

    def _codes_in_store(self, clips: list[str]) -> dict[str, Tokens]:
        wanted = pa.array(clips, pa.string())
        found: dict[str, Tokens] = {}
        for table in self._known:
            chosen = table.filter(pc.is_in(table["clip_id"], value_set=wanted))
            found.update((row.clip_id, row) for row in rows(chosen.combine_chunks(), Tokens))
        return found


class _Audio:
    """Samples of clips and recipes at 24 kHz."""

    def __init__(self, store: Store, annotated: Manifest, raw: Manifest, clips: set[str]) -> None:
        self._store = store
        self._annotated = {row.clip_id: row for row in _chosen(store, annotated, Annotated, clips)}
        raw_clips = {row.raw_clip_id for row in self._annotated.values()}
        self._raw = {row.clip_id: row for row in _chosen(store, raw, Raw, raw_clips)}

    def clip(self, clip: str) -> np.ndarray:
        row = self._annotated.get(clip)
        if row is None or row.raw_clip_id not in self._raw:
            raise _DropError("unknown_clip", f"clip {clip} is neither annotated nor a recipe")
        return render_clip(self._store, row, self._raw[row.raw_clip_id])

    def recipe(self, recipe: Recipe) -> np.ndarray:
        return render_recipe(recipe, [self.clip(parent) for parent in recipe.parents])


def _rendered(clips: list[str], recipes: dict[str, Recipe], found: dict[str, Tokens]) -> set[str]:
    """The annotated clips whose samples are needed: those without codes, and the parents of such recipes."""
    missing = [clip for clip in clips if clip not in found]
    parents = {parent for clip in missing if clip in recipes for parent in recipes[clip].parents}
    return parents | {clip for clip in missing if clip not in recipes}


def _chosen(store: Store, manifest: Manifest, cls: type[Any], ids: set[str]) -> Iterator[Any]:
    wanted = pa.array(sorted(ids), pa.string())
    for table in store.tables(manifest):
        yield from rows(table.filter(pc.is_in(table["clip_id"], value_set=wanted)).combine_chunks(), cls)
