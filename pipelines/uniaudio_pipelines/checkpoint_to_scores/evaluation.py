"""What the benchmarks share: the checkpoint's model, its codec, and the held-out rows; each is read when it is first
asked for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import DataError, FingerprintError, UsageError
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import rows
from uniaudio_schemas.kinds.sequences import Sequence
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.forgotten import version_with
from uniaudio_schemas.store.manifest import Manifest, Plan

from uniaudio.audio.render import render_clip, render_recipe
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.lm.model import UniAudioLM
from uniaudio.sequence.layout import Grid, grid_of
from uniaudio.sequence.segments import code_range
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import ByteTokenizer, HuggingFaceTokenizer, TextTokenizer
from uniaudio.training.lm.weights import CheckpointConfig, config_of, load_model
from uniaudio.training.sequences.dataset import HELD_OUT_SPLITS, TRAIN_SPLIT, SequenceSet
from uniaudio_pipelines.checkpoint_to_scores.job import CheckpointToScores

R = TypeVar("R")

_MOST_KNOWN = 4_096
"""Rows of a kind that are kept in memory."""


@dataclass(frozen=True, slots=True)
class Example:
    """One held-out example, cut where its answer begins."""

    sequence: Sequence
    prompt: Grid
    recording: str


class Evaluation:
    """The versions of one plan, opened."""

    def __init__(self, store_root: str, job: CheckpointToScores, plan: Plan) -> None:
        self.store, self.job, self.plan = Store(store_root), job, plan
        self._known: dict[str, dict[str, Any]] = {}
        self._groups: dict[str, dict[str, set[str]] | None] = {}

    def manifest(self, kind: str) -> Manifest:
        return self.store.version_with(kind, self.plan.parents[kind])

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return self._only(Checkpoint, "checkpoint")

    @cached_property
    def stages(self) -> list[Checkpoint]:
        """The checkpoint and those it was trained from, first stage first."""
        known = {
            row.checkpoint_id: row
            for version in self.store.versions("checkpoint")
            for row in self.store.rows(version, Checkpoint)
        }
        chain = [self.checkpoint]
        while (parent := chain[-1].parent) is not None and parent in known and len(chain) <= len(known):
            chain.append(known[parent])
        return chain[::-1]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return self._config.vocabulary

    @cached_property
    def tokenizer(self) -> TextTokenizer:
        """Bytes, or what the folder of the job's `tokenizer` holds; it must be the vocabulary's."""
        tokenizer: TextTokenizer = (
            HuggingFaceTokenizer.from_folder(self.job.tokenizer) if self.job.tokenizer else ByteTokenizer()
        )
        if tokenizer.fingerprint != self.vocabulary.tokenizer_fingerprint:
            raise UsageError(
                f"`tokenizer` must be the folder of text tokenizer {self.vocabulary.tokenizer_fingerprint}, "
                f"but {self.job.tokenizer or 'the byte tokenizer'} is {tokenizer.fingerprint}."
            )
        return tokenizer

    @cached_property
    def model(self) -> UniAudioLM:
        return self.load(self.checkpoint)

    def load(self, row: Checkpoint) -> UniAudioLM:
        """The model of a stage; DataError or StoreError where its weights are not there or are none."""
        model = load_model(self.store.open_blob(row.weights), config_of(row).model)
        return model.to(self.job.device).eval()

    @cached_property
    def codec(self) -> ReasoningCodec:
        row = self._only(CodecRow, "codec")
        if row.codec_id != self.checkpoint.codec_fingerprint:
            raise FingerprintError(
                f"Checkpoint {self.checkpoint.checkpoint_id} was trained on tokens of codec "
                f"{self.checkpoint.codec_fingerprint}, but the codec behind it is {row.codec_id}."
            )
        return ReasoningCodec.load_files(row.config, self.store.open_blob(row.weights)).to(self.job.device).eval()

    @cached_property
    def sequences(self) -> SequenceSet:
        sequences = SequenceSet.open(self.store, self.manifest("sequences"))
        stated = sequences.metadata.get("vocabulary_fingerprint", self.vocabulary.fingerprint)
        if stated != self.vocabulary.fingerprint:
            raise FingerprintError(
                f"The sequences must have vocabulary {self.vocabulary.fingerprint}, but have {stated}."
            )
        return sequences

    def held_out(self, task: str, count: int) -> list[Sequence]:
        """The first held-out sequences of `task` that carry loss, in id order (ids are hashes, so they are a fair draw)."""
        return list(self._first(HELD_OUT_SPLITS, task, count))

    def trained(self, task: str, count: int) -> list[Sequence]:
        """The first training sequences of `task` that carry loss, in id order."""
        return list(self._first((TRAIN_SPLIT,), task, count))

    def num_seen(self, task: str) -> int | None:
        """Training examples of `task` that the checkpoint, or one that it was trained from, may have seen: those that stages drew from the
        mixture groups in which their own sequences hold the task, an upper bound whose 0 is a proof. None where that cannot be known: a stage's
        sequences are gone, or the first one began with a whole model from elsewhere."""
        if not self._begins_here:
            return None
        seen = 0
        for stage in self.stages:
            groups = self._groups_of_tasks(stage.sequences)
            if groups is None:
                return None
            seen += sum(entry.num_examples for entry in stage.ledger if entry.mixture in groups.get(task, ()))
        return seen

    @cached_property
    def _begins_here(self) -> bool:
        """Whether the first of the stages was drawn here, and not taken from the folder of a model."""
        first = self.stages[0]
        if first.parent is not None:
            return False
        first_version = next(
            (
                version
                for version in self.store.versions("checkpoint")
                if any(row.checkpoint_id == first.checkpoint_id for row in self.store.rows(version, Checkpoint))
            ),
            None,
        )
        return first_version is not None and "model" not in first_version.parameters

    def _groups_of_tasks(self, sequences: str) -> dict[str, set[str]] | None:
        """Task -> mixture groups of its training examples, of a version of sequences; None where the store has it no more."""
        if sequences not in self._groups:
            manifest = version_with(self.store, "sequences", sequences)
            groups: dict[str, set[str]] | None = None if manifest is None else {}
            for table in self.store.tables(manifest, ["task", "mixture", "split"]) if manifest is not None else ():
                trained = table.filter(pc.equal(table["split"], TRAIN_SPLIT)).select(["task", "mixture"])
                for row in trained.group_by(["task", "mixture"]).aggregate([]).to_pylist():
                    assert groups is not None, "there is a table"
                    groups.setdefault(row["task"], set()).add(row["mixture"])
            self._groups[sequences] = groups
        return self._groups[sequences]

    def _first(self, splits: tuple[str, ...], task: str, count: int | None = None) -> Iterator[Sequence]:
        sequence_places = self.sequences.first(splits, task, count)
        return (self.sequences.row(sequence_places, number) for number in range(len(sequence_places)))

    @property
    def held_out_tasks(self) -> list[str]:
        """Tasks with a held-out sequence, by name."""
        return self.sequences.held_out_tasks

    def example_blocks(self, task: str, size: int, *, first: int = 0) -> Iterator[list[Example]]:
        """Held-out sequences of `task` from number `first` on, in id order, each cut before its first loss, `size` at a time; those that are
        all answer are left out.
        """
        sequence_places = self.sequences.first(HELD_OUT_SPLITS, task, None)
        rows = (self.sequences.row(sequence_places, number) for number in range(first, len(sequence_places)))
        while block := list(islice(rows, size)):
            recordings = self.sequences.recordings(block)
            cut = [(row, _prompt_of(row), recording) for row, recording in zip(block, recordings, strict=True)]
            yield [Example(row, prompt, recording) for row, prompt, recording in cut if prompt is not None]

    def instructions(self, ids: Iterable[str]) -> dict[str, Instruction]:
        return self._by_id(Instruction, "instructions", ids)

    def annotated(self, ids: Iterable[str]) -> dict[str, Annotated]:
        clips = self._by_id(Annotated, "annotated", ids)
        self._by_id(Raw, "raw", (clip.raw_clip_id for clip in clips.values()))  # one pass for all their audio
        return clips

    def training_instructions(self, task: str) -> list[Instruction]:
        table = self.store.read(self.manifest("instructions"))
        training_rows = table.filter(pc.and_(pc.equal(table["task"], task), pc.equal(table["split"], "train")))
        return list(rows(training_rows, Instruction))

    def task_instructions(self, task: str) -> list[Instruction]:
        """Instructions of the task, of all splits."""
        table = self.store.read(self.manifest("instructions"))
        return list(rows(table.filter(pc.equal(table["task"], task)), Instruction))

    def copies_of_training(self, clips: Iterable[Annotated]) -> set[str]:
        """Ids of held-out `clips` that share their cluster of copies with a training clip."""
        held_out = [clip for clip in clips if clip.split in HELD_OUT_SPLITS and clip.duplicate_cluster is not None]
        if not held_out:
            return set()
        return {clip.clip_id for clip in held_out if clip.duplicate_cluster in self._trained_cluster_names}

    @cached_property
    def _trained_cluster_names(self) -> set[str]:
        return set(self._trained_clusters.to_pylist())

    @cached_property
    def _trained_clusters(self) -> pa.Array:
        table = self.store.read(self.manifest("annotated"), ["split", "duplicate_cluster"])
        trained = table.filter(pc.equal(table["split"], TRAIN_SPLIT))["duplicate_cluster"]
        return pa.array(sorted(set(trained.to_pylist()) - {None}), pa.string())

    def held_out_clips(self, domain: str, count: int) -> list[Annotated]:
        """The first held-out audio clips of `domain`, in id order; none that is a copy of a training clip."""
        table = self.store.read(self.manifest("annotated"))
        is_copy = pc.is_in(table["duplicate_cluster"], value_set=self._trained_clusters)
        is_held_out = pc.and_not(pc.is_in(table["split"], value_set=pa.array(HELD_OUT_SPLITS)), is_copy)
        held_out_rows = table.filter(
            pc.and_(pc.and_(pc.equal(table["domain"], domain), is_held_out), pc.greater(table["num_samples"], 0))
        )
        return list(rows(held_out_rows.sort_by("clip_id").slice(0, count), Annotated))

    def audio(self, clip: Annotated) -> np.ndarray:
        """`[N]` float32 at 24 kHz."""
        raw = self._by_id(Raw, "raw", [clip.raw_clip_id])
        if clip.raw_clip_id not in raw:
            raise DataError(
                f"Clip {clip.clip_id} ({clip.path}) is cut from {clip.raw_clip_id}, "
                f"which the version of raw does not hold."
            )
        return render_clip(self.store, clip, raw[clip.raw_clip_id])

    def clip_audio(self, clip_id: str, row: Instruction) -> np.ndarray:
        """`[N]` float32 at 24 kHz of a clip of an example, or of one of its recipes."""
        recipe = next((recipe for recipe in row.recipes if recipe.clip_id == clip_id), None)
        parent_ids = [clip_id] if recipe is None else recipe.parents
        clips = self.annotated(parent_ids)
        if missing := [one for one in parent_ids if one not in clips]:
            raise DataError(f"Example {row.instruction_id} is of clip {missing[0]}, which is not annotated.")
        parent_audio = [self.audio(clips[one]) for one in parent_ids]
        return parent_audio[0] if recipe is None else render_recipe(recipe, parent_audio)

    def recorded_frames(self, sequence: Sequence) -> int:
        """Reconstruction frames that carry loss."""
        grid = grid_of(sequence)
        first, count = code_range("reconstruction", self.vocabulary)
        is_code = grid.loss & grid.is_audio & (grid.ids[:, 0] >= first) & (grid.ids[:, 0] < first + count)
        return int(is_code.sum())

    @cached_property
    def _config(self) -> CheckpointConfig:
        return config_of(self.checkpoint)

    def _only(self, cls: type[R], kind: str) -> R:
        all_rows = list(self.store.rows(self.manifest(kind), cls))
        if len(all_rows) != 1:
            raise DataError(
                f"A version of {kind} must hold one row, but {self.plan.parents[kind]} holds {len(all_rows)}."
            )
        return all_rows[0]

    def _by_id(self, cls: type[Any], kind: str, ids: Iterable[str]) -> dict[str, Any]:
        """Rows that were read once are kept, while there are not too many of them."""
        known = self._known.setdefault(kind, {})
        wanted_ids = set(ids)
        if len(known) > _MOST_KNOWN:
            known.clear()
        if missing := sorted(wanted_ids - set(known)):
            field = cls.SCHEMA.id_field
            missing_ids = pa.array(missing, type=pa.string())
            for table in self.store.tables(self.manifest(kind)):
                known |= {
                    getattr(row, field): row for row in rows(table.filter(pc.is_in(table[field], missing_ids)), cls)
                }
        return {one: known[one] for one in wanted_ids if one in known}


def _prompt_of(sequence: Sequence) -> Grid | None:
    """What stands before the answer; None where nothing does."""
    grid = grid_of(sequence)
    first = int(np.argmax(grid.loss))
    if not first:
        return None
    return replace(grid, ids=grid.ids[:first], is_audio=grid.is_audio[:first], loss=grid.loss[:first])
