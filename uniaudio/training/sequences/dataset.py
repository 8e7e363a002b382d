"""The sequences of one dataset version, memory-mapped: an index of lengths, and random access to single rows.

Reads    sequences.v1 (any shard layout; rows are addressed in id order)

    sequences = SequenceSet.open(store, store.head("sequences"))
    speech = sequences.groups(max_length=8192)["tts"]
    for document in sequences.documents(speech, range(100)):
        document.audio_ids, document.text_ids          # [A, 8] int16, [T] int32: views of the shards' files

A rank holds neither a row nor an id: the index is a file that the ranks of a host share (`sequence_index`), a shard is mapped
when a row of it is first asked for, and no row of a shard is used before its checksum was right (`verified`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.sequences import Sequence as SequenceRow

from uniaudio.training.sequences.examples import Examples, Places, Without
from uniaudio.training.sequences.index import SequenceIndex, Stratum, build_index
from uniaudio.training.sequences.recordings import recordings_behind
from uniaudio.training.sequences.shard import Block, Document, SequenceShard
from uniaudio.training.sequences.shared_index import alone, index_folder, index_key, shared_index
from uniaudio.training.sequences.verified import VerifiedShards

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store
    from uniaudio_schemas.store.manifest import Manifest

FindRecordings = Callable[[Iterable[str]], Mapping[str, str]]
"""Ids of held-out clips -> clip id -> recording, of those that are known."""
TRAIN_SPLIT = "train"
HELD_OUT_SPLITS = ("val", "test")
"""Losses of stages and scores are of both: what a split holds of a task may be one recording."""
_ROWS_AT_ONCE = 1 << 20
"""Rows of the index that a pass over it looks at together: 4 MiB of each column."""


class SequenceSet:
    """Random access to the rows of shards."""

    def __init__(
        self,
        index: SequenceIndex,
        open_shard: Callable[[int], SequenceShard],
        num_shards: int,
        content_id: str,
        find_recordings: FindRecordings,
    ) -> None:
        self.index, self.content_id = index, content_id
        self.metadata = index.metadata
        self._open_shard, self._num_shards = open_shard, num_shards
        self._opened: dict[int, SequenceShard] = {}
        self._find_recordings = find_recordings

    @classmethod
    def of(cls, tables: list[pa.Table], content_id: str) -> "SequenceSet":
        """Tables in memory, one a shard."""
        shards = [SequenceShard.of(table, f"table {number}") for number, table in enumerate(tables)]
        index = SequenceIndex.from_batch(build_index(shards, content_id), content_id)
        return cls(index, shards.__getitem__, len(shards), content_id, lambda clip_ids: {})

    @classmethod
    def open(cls, store: "Store", manifest: "Manifest") -> "SequenceSet":
        """A shard whose bytes changed is a `DataError` that names its file, before a row is read."""
        folder, key = index_folder(store), index_key(manifest)
        files = VerifiedShards(store, manifest, folder)

        def open_shard(number: int) -> SequenceShard:
            return SequenceShard.open(files.path(manifest.shards[number]))

        with alone(folder, key):
            files.check()
            index = shared_index(folder, key, lambda: build_index(map(open_shard, range(len(manifest.shards))), key))
        find_recordings = partial(recordings_behind, store, manifest)
        return cls(index, open_shard, len(manifest.shards), manifest.content_id, find_recordings)

    def __len__(self) -> int:
        return len(self.index)

    def required_metadata(self, name: str) -> str:
        if name not in self.metadata:
            raise DataError(f"Sequences {self.content_id}: no shard has `{name}` in its schema metadata.")
        return self.metadata[name]

    def _shard(self, number: int) -> SequenceShard:
        shard = self._opened.get(number)
        if shard is None:
            shard = self._opened[number] = self._open_shard(number)
        return shard

    def documents(self, examples: Examples, numbers: Sequence[int]) -> list[Document]:
        """Examples by their number in `examples`; nothing is copied."""
        return self.documents_at(examples.places_of(numbers))

    def documents_at(self, places: np.ndarray) -> list[Document]:
        """Documents at these rows of the index."""
        shards, rows = self.index.shard[places].tolist(), self.index.row[places].tolist()
        return [Document(self._shard(shard), row) for shard, row in zip(shards, rows, strict=True)]

    def row(self, examples: Examples, number: int) -> SequenceRow:
        """One row with its ids and names. `documents` is a hundred times quicker."""
        shard, row = self._place(examples, number)
        return shard.row(row)

    def sequence_id(self, examples: Examples, number: int) -> str:
        shard, row = self._place(examples, number)
        return shard.sequence_id(row)

    def _place(self, examples: Examples, number: int) -> tuple[SequenceShard, int]:
        place = examples.places[number]
        return self._shard(int(self.index.shard[place])), int(self.index.row[place])

    def blocks(self) -> Iterator[Block]:
        """All rows once, a record batch after the other as they lie in the shards: for a pass over all codes."""
        for number in range(self._num_shards):
            yield from self._shard(number).blocks()

    def recordings(self, rows: Sequence[SequenceRow]) -> list[str]:
        """Recording of the first held-out clip of each row; the row's own id where no recording is known."""
        recording_of = self._find_recordings({clip_id for row in rows for clip_id in row.clip_ids})
        return [
            next((recording_of[clip_id] for clip_id in row.clip_ids if clip_id in recording_of), row.sequence_id)
            for row in rows
        ]

    @property
    def group_names(self) -> list[str]:
        return sorted({stratum.mixture for stratum in self.index.strata})

    @property
    def held_out_tasks(self) -> list[str]:
        """Tasks with a held-out sequence, by name."""
        return sorted({task for stratum in self.index.of(HELD_OUT_SPLITS, has_loss=None) for task in stratum.tasks})

    def groups(self, *, max_length: int) -> dict[str, Examples]:
        """Training examples of each mixture group that fit into `max_length` positions and carry loss, in id order."""
        strata = {stratum.mixture: stratum for stratum in self.index.of((TRAIN_SPLIT,))}
        places = {
            group: self._fitting(strata[group], max_length) if group in strata else range(0)
            for group in self.group_names
        }
        return {group: Examples(self.index, rows) for group, rows in places.items()}

    def held_out(self, *, max_length: int) -> dict[str, Examples]:
        """Held-out examples of each task that fit and carry loss: the splits in turn, each in id order, so that the
        first few are of all splits."""
        examples: dict[str, Examples] = {}
        for task in self.held_out_tasks:
            splits = [
                self._in_id_order(self.index.of((split,)), task, max_length=max_length) for split in HELD_OUT_SPLITS
            ]
            turn = np.concatenate([np.arange(len(places)) for places in splits])
            if len(turn):
                # Stable: of one turn the first split comes first.
                examples[task] = Examples(self.index, np.concatenate(splits)[np.argsort(turn, kind="stable")])
        return examples

    def first(self, splits: Iterable[str], task: str | None = None, count: int | None = None) -> Examples:
        """The first `count` examples of `splits` that carry loss, or all, of `task` or of any, in id order."""
        return Examples(self.index, self._in_id_order(self.index.of(splits), task, count=count))

    def too_long(self, groups: Iterable[str], *, max_length: int) -> list[tuple[str, int]]:
        """(sequence id, positions) of the training examples of `groups` that no row of `max_length` can hold."""
        names = set(groups)
        strata = [one for one in self.index.of((TRAIN_SPLIT,), has_loss=None) if one.mixture in names]
        places = [stratum.start + self._too_long(stratum, max_length) for stratum in strata]
        examples = Examples(self.index, self._by_rank(places))
        return [(self.sequence_id(examples, number), examples.lengths[number]) for number in range(len(examples))]

    def _fitting(self, stratum: Stratum, max_length: int) -> Places:
        run, left_out = range(stratum.start, stratum.stop), self._too_long(stratum, max_length)
        return Without(run, left_out) if len(left_out) else run

    def _too_long(self, stratum: Stratum, max_length: int) -> np.ndarray:
        """Places in the stratum, ascending; looks at no row where none is."""
        if stratum.longest <= max_length:
            return np.zeros(0, np.int64)
        return _chosen(stratum, lambda here: self.index.num_positions[here] > max_length) - stratum.start

    def _in_id_order(
        self, strata: list[Stratum], task: str | None, *, max_length: int | None = None, count: int | None = None
    ) -> np.ndarray:
        """Places of the first `count` rows, or all, of `strata`."""

        def is_wanted(here: slice) -> np.ndarray:
            fits = np.ones(here.stop - here.start, bool)
            if task is not None:
                fits &= self.index.task[here] == self.index.tasks.index(task)
            if max_length is not None:
                fits &= self.index.num_positions[here] <= max_length
            return fits

        with_task = [stratum for stratum in strata if task is None or task in stratum.tasks]
        return self._by_rank([_chosen(stratum, is_wanted, count) for stratum in with_task])[:count]

    def _by_rank(self, places: list[np.ndarray]) -> np.ndarray:
        rows = np.concatenate([np.zeros(0, np.int64), *places])
        return rows[np.argsort(self.index.rank[rows])]


def _chosen(stratum: Stratum, is_wanted: Callable[[slice], np.ndarray], count: int | None = None) -> np.ndarray:
    """Rows of the stratum that are wanted, ascending, at least the first `count`; some are looked at at a time."""
    row_blocks, num_rows = [np.zeros(0, np.int64)], 0
    for start in range(stratum.start, stratum.stop, _ROWS_AT_ONCE):
        if count is not None and num_rows >= count:
            break
        here = slice(start, min(start + _ROWS_AT_ONCE, stratum.stop))
        row_blocks.append(start + np.flatnonzero(is_wanted(here)))
        num_rows += len(row_blocks[-1])
    return np.concatenate(row_blocks)
