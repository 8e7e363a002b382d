"""The sequences of one dataset version, memory-mapped: an index of lengths, and random access to single rows.

Reads    sequences.v1 (any shard layout; rows are addressed in id order)
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import DataError, FingerprintError
from uniaudio_schemas.kinds.record import from_table
from uniaudio_schemas.kinds.sequences import Sequence as SequenceRow

from uniaudio.training.recordings import recordings_behind

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store
    from uniaudio_schemas.store.manifest import Manifest

FindRecordings = Callable[[], dict[str, str]]
"""Clip id -> recording of the held-out clips; called when it is first asked for."""
TRAIN_SPLIT = "train"
HELD_OUT_SPLITS = ("val", "test")
"""Losses of stages and scores are of both: what a split holds of a task may be one recording."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Where the examples of one group lie, in id order."""

    table: np.ndarray
    row: np.ndarray
    length: np.ndarray
    """Positions."""
    num_loss: np.ndarray
    """Positions that carry loss."""

    def __len__(self) -> int:
        return len(self.row)

    def where(self, keep: np.ndarray) -> "Examples":
        return Examples(self.table[keep], self.row[keep], self.length[keep], self.num_loss[keep])


def _sum_by_row(chunks: Iterable[pa.Array], *, loss_only: bool) -> np.ndarray:
    """Segment lengths summed by row, for a column of lists of segments."""
    sums = [np.zeros(0, dtype=np.int64)]
    for chunk in chunks:
        segments = chunk.flatten()
        lengths = pc.struct_field(segments, "length").to_numpy(zero_copy_only=False)
        if loss_only:
            lengths = lengths * pc.struct_field(segments, "loss").to_numpy(zero_copy_only=False)
        parents = pc.list_parent_indices(chunk).to_numpy(zero_copy_only=False)
        sums.append(np.bincount(parents, weights=lengths, minlength=len(chunk)).astype(np.int64))
    return np.concatenate(sums)


def _in_turn(split: np.ndarray) -> np.ndarray:
    """Order that takes the first row of each split, then the second of each, …"""
    turn, place = np.zeros(len(split), np.int64), np.zeros(len(split), np.int64)
    for number, name in enumerate(HELD_OUT_SPLITS):
        turn[split == name] = np.arange(np.count_nonzero(split == name))
        place[split == name] = number
    return np.lexsort((place, turn))


class SequenceSet:
    """Random access to the rows of Arrow tables; nothing but the index is held in memory."""

    def __init__(self, tables: list[pa.Table], content_id: str, recordings: FindRecordings = dict) -> None:
        self.tables = tables
        self._find_recordings = recordings
        self.content_id = content_id
        self.metadata = self._common_metadata()
        ids = self._column("sequence_id").astype(np.bytes_)
        order = np.argsort(ids, kind="stable")
        self.split, self.mixture, self.task = (self._column(name)[order] for name in ("split", "mixture", "task"))
        sizes = [len(table) for table in tables]
        self.examples = Examples(
            table=np.repeat(np.arange(len(tables)), sizes),
            row=np.concatenate([np.zeros(0, np.int64), *(np.arange(size) for size in sizes)]),
            length=self._segment_sums(loss_only=False),
            num_loss=self._segment_sums(loss_only=True),
        ).where(order)

    @classmethod
    def open(cls, store: "Store", manifest: "Manifest") -> "SequenceSet":
        tables = [store.table_of_shard(manifest, shard) for shard in manifest.shards]
        return cls(tables, manifest.content_id, partial(recordings_behind, store, manifest))

    def _column(self, name: str) -> np.ndarray:
        """A text column of all tables."""
        return np.asarray([value for table in self.tables for value in table[name].to_pylist()], dtype=np.str_)

    def _segment_sums(self, *, loss_only: bool) -> np.ndarray:
        chunks = [chunk for table in self.tables for chunk in table["segments"].chunks]
        return _sum_by_row(chunks, loss_only=loss_only)

    def _common_metadata(self) -> dict[str, str]:
        """What all shards agree on; two vocabularies or codecs in one version stop the run."""
        metadata: dict[str, str] = {}
        for table in self.tables:
            for key, value in (table.schema.metadata or {}).items():
                name = key.decode()
                if name not in ("vocabulary", "vocabulary_fingerprint", "codec_fingerprint"):
                    continue
                if metadata.setdefault(name, value.decode()) != value.decode():
                    raise FingerprintError(
                        f"Shards of sequences {self.content_id} must share one `{name}`, but differ."
                    )
        return metadata

    def required_metadata(self, name: str) -> str:
        if name not in self.metadata:
            raise DataError(f"Sequences {self.content_id}: no shard has `{name}` in its schema metadata.")
        return self.metadata[name]

    def row(self, examples: Examples, index: int) -> SequenceRow:
        table = self.tables[examples.table[index]]
        row: Any = from_table(table.slice(int(examples.row[index]), 1), SequenceRow)[0]
        return row

    @cached_property
    def _recordings(self) -> dict[str, str]:
        return self._find_recordings()

    def recording(self, row: SequenceRow) -> str:
        """Of the first clip of a held-out row; the row's own id where that is not known."""
        known = (self._recordings[clip] for clip in row.clip_ids if clip in self._recordings)
        return next(known, row.sequence_id)

    @property
    def group_names(self) -> list[str]:
        names: list[str] = np.unique(self.mixture).tolist()
        return names

    def groups(self, *, max_length: int) -> dict[str, Examples]:
        """Training examples of each mixture group that fit into `max_length` positions and carry loss."""
        usable = (self.examples.length <= max_length) & (self.examples.num_loss > 0) & (self.split == TRAIN_SPLIT)
        return {group: self.examples.where(usable & (self.mixture == group)) for group in self.group_names}

    def held_out(self, *, max_length: int) -> dict[str, Examples]:
        """Held-out examples of each task that fit: the splits in turn, each in id order, so that the first few are of
        all splits."""
        usable = (self.examples.length <= max_length) & (self.examples.num_loss > 0)
        usable &= np.isin(self.split, HELD_OUT_SPLITS)
        found: dict[str, Examples] = {}
        for task in np.unique(self.task[usable]).tolist():
            of_task = usable & (self.task == task)
            found[task] = self.examples.where(of_task).where(_in_turn(self.split[of_task]))
        return found

    def too_long(self, groups: list[str], *, max_length: int) -> list[tuple[str, int]]:
        """(sequence id, positions) of the training examples of `groups` that no row of `max_length` can hold."""
        keep = (self.examples.length > max_length) & (self.split == TRAIN_SPLIT) & np.isin(self.mixture, groups)
        examples = self.examples.where(keep)
        return [(self.row(examples, index).sequence_id, int(examples.length[index])) for index in range(len(examples))]
