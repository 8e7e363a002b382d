"""The index of a version of sequences: where each example lies and how long it is, in columns that are memory-mapped.

Reads    the shards of a version of sequences.v1
Writes   one Arrow IPC file of one record batch, 24 bytes a row, and no string in it

One row:
    {"shard": 3, "row": 4711, "num_positions": 412, "num_loss": 96, "task": 2, "rank": 880123}

Rows of one split, mixture group, and "has positions with loss or not" lie together (a `Stratum`), in id order, so that
the examples that a stage draws from are a range of the file. `rank` is the place in the id order of all rows.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import DataError, FingerprintError

from uniaudio.training.sequences.shard import SequenceShard

# Shapes: N rows, K segments of a record batch
FORMAT = 1
"""Format of the file; part of its name."""
AGREED = ("vocabulary", "vocabulary_fingerprint", "codec_fingerprint")
"""Schema metadata that all shards of a version share."""
_COLUMNS = {
    "shard": np.dtype(np.int32),
    "row": np.dtype(np.int32),
    "num_positions": np.dtype(np.int32),
    "num_loss": np.dtype(np.int32),
    "task": np.dtype(np.int32),
    "rank": np.dtype(np.uint32),
}
_HEADER = b"sequence_index"
_KINDS = pa.array(["text", "audio"])
_FACTS = pa.schema(
    [
        ("sequence_id", pa.large_string()),
        *((name, pa.dictionary(pa.int32(), pa.string())) for name in ("split", "mixture", "task")),
        *((name, pa.int32()) for name in ("shard", "row", "num_positions", "num_loss")),
    ]
)
"""What is collected of each row before they are sorted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stratum:
    """Rows `start:stop` of the index: one split and mixture group, with or without loss, in id order."""

    split: str
    mixture: str
    has_loss: bool
    start: int
    stop: int
    tasks: list[str]
    """Names of the tasks, sorted."""
    longest: int
    """Positions of its longest row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceIndex:
    """Columns `[N]` (read-only views of the file), and what they are cut into."""

    shard: np.ndarray
    row: np.ndarray
    """Number of the row in its shard."""
    num_positions: np.ndarray
    num_loss: np.ndarray
    """Positions that carry loss."""
    task: np.ndarray
    """Place in `tasks`."""
    rank: np.ndarray
    tasks: list[str]
    strata: list[Stratum]
    """Ordered by split, mixture group and loss."""
    metadata: dict[str, str]
    """What the schema metadata of all shards agree on, of `AGREED`."""

    def __len__(self) -> int:
        return len(self.row)

    def of(self, splits: Iterable[str], *, has_loss: bool | None = True) -> list[Stratum]:
        names = set(splits)
        return [one for one in self.strata if one.split in names and has_loss in (None, one.has_loss)]

    @classmethod
    def open(cls, path: Path, key: str) -> "SequenceIndex":
        """Memory-mapped: no row is read. `DataError` where it is no whole index of `key`."""
        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
                return cls.from_batch(reader.get_batch(0), key)
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: not an index of sequences ({' '.join(str(error).split())}).") from error

    @classmethod
    def from_batch(cls, batch: pa.RecordBatch, key: str) -> "SequenceIndex":
        header = json.loads(batch.schema.metadata[_HEADER])
        if header["key"] != key:
            raise ValueError(f"it is of {header['key']}, not of {key}")
        return cls(
            **{name: batch[name].to_numpy() for name in _COLUMNS},
            tasks=header["tasks"],
            strata=[Stratum(**one) for one in header["strata"]],
            metadata=header["metadata"],
        )


def write_index(batch: pa.RecordBatch, file: BinaryIO) -> None:
    """Write the index into a file that `SequenceIndex.open` opens."""
    with pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def build_index(shards: Iterable[SequenceShard], key: str) -> pa.RecordBatch:
    """A pass over all shards. Takes 1.6 us and 130 bytes of memory a row, most of them for sorting the ids.

    Segments that lie outside their row, or are neither text nor audio, are a `DataError`; two vocabularies or codecs in
    one version a `FingerprintError`.
    """
    metadata: dict[str, str] = {}
    facts = pa.Table.from_batches(_facts(shards, metadata), _FACTS).unify_dictionaries()
    by_id = pc.sort_indices(facts["sequence_id"].combine_chunks()).to_numpy()
    facts = facts.drop_columns("sequence_id").combine_chunks()
    (split, splits), (mixture, mixtures), (task, tasks) = (_coded(facts[name]) for name in ("split", "mixture", "task"))
    has_loss = facts["num_loss"].to_numpy() > 0
    # The smallest type that holds it: 8 and 16 bits are sorted in linear time.
    stratum = (split * len(mixtures) + mixture) * 2 + has_loss
    stratum = stratum.astype(np.min_scalar_type(stratum.max(initial=0)))
    rank = np.argsort(stratum[by_id], kind="stable")
    order = by_id[rank]
    numbers = {name: facts[name].to_numpy() for name in ("shard", "row", "num_positions", "num_loss")}
    unsorted = {**numbers, "task": task}
    columns = {name: rank if name == "rank" else unsorted[name][order] for name in _COLUMNS}
    strata = _strata(stratum[order], columns, splits, mixtures, tasks)
    header = {"key": key, "tasks": tasks, "strata": [asdict(one) for one in strata], "metadata": metadata}
    return pa.record_batch(
        {name: pa.array(column.astype(_COLUMNS[name], copy=False)) for name, column in columns.items()},
        metadata={_HEADER: json.dumps(header).encode()},
    )


def _facts(shards: Iterable[SequenceShard], metadata: dict[str, str]) -> Iterator[pa.RecordBatch]:
    """The facts of each record batch. What the shards agree on is added to `metadata`."""
    for number, shard in enumerate(shards):
        _agree(metadata, shard)
        first = 0
        for batch in shard.batches():
            lengths, with_loss = _num_positions(batch, shard.where)
            yield pa.record_batch(
                [
                    batch["sequence_id"].cast(pa.large_string()),
                    *(batch[name].dictionary_encode() for name in ("split", "mixture", "task")),
                    pa.array(np.full(len(batch), number, np.int32)),
                    pa.array(np.arange(first, first + len(batch), dtype=np.int32)),
                    pa.array(lengths.astype(np.int32)),
                    pa.array(with_loss.astype(np.int32)),
                ],
                schema=_FACTS,
            )
            first += len(batch)


def _agree(metadata: dict[str, str], shard: SequenceShard) -> None:
    for name, value in shard.metadata.items():
        if name in AGREED and metadata.setdefault(name, value) != value:
            raise FingerprintError(f"{shard.where}: must share one `{name}` with the other shards, but differs.")


def _num_positions(batch: pa.RecordBatch, where: str) -> tuple[np.ndarray, np.ndarray]:
    """For each row the number of positions, and of those that carry loss."""
    bounds, segments = batch["segments"].offsets.to_numpy(), batch["segments"].values
    kind, start, length, loss = (segments.field(name) for name in ("kind", "start", "length", "loss"))
    start, length = start.to_numpy(), length.to_numpy()
    parent = np.repeat(np.arange(len(batch)), np.diff(bounds))
    num_audio, num_text = (batch[name].value_lengths().to_numpy() for name in ("audio_ids", "text_ids"))
    is_audio = pc.equal(kind, "audio").to_numpy(zero_copy_only=False)
    room = np.where(is_audio, num_audio[parent], num_text[parent])
    is_wrong = (start < 0) | (length < 0) | (start + length > room)
    is_wrong |= ~pc.is_in(kind, _KINDS).to_numpy(zero_copy_only=False)
    if is_wrong.any():
        place = int(np.argmax(is_wrong))
        row_id = batch["sequence_id"][int(parent[place])].as_py()
        raise DataError(f"{where}: row {row_id}: segment {segments[place].as_py()} lies outside the row's ids.")
    with_loss = length * loss.to_numpy(zero_copy_only=False)
    return _sums(length, bounds), _sums(with_loss, bounds)


def _sums(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Sums of `values[bounds[i] : bounds[i + 1]]`."""
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])
    sums: np.ndarray = running[bounds[1:]] - running[bounds[:-1]]
    return sums


def _coded(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """The names of a column in order, and for each row the place of its own, int64."""
    combined = column.combine_chunks()
    names = np.asarray(combined.dictionary.to_pylist(), np.str_)
    place = np.argsort(np.argsort(names))
    return place[combined.indices.to_numpy()], sorted(names.tolist())


def _strata(
    stratum: np.ndarray, columns: dict[str, np.ndarray], splits: list[str], mixtures: list[str], tasks: list[str]
) -> list[Stratum]:
    """The strata of all rows. `stratum`: number of the stratum of each row, ascending."""
    starts = np.flatnonzero(np.diff(stratum, prepend=stratum[:1] + 1)).tolist()
    strata = []
    for start, stop in pairwise([*starts, len(stratum)]):
        both, has_loss = divmod(int(stratum[start]), 2)
        split, mixture = divmod(both, len(mixtures))
        strata.append(
            Stratum(
                split=splits[split],
                mixture=mixtures[mixture],
                has_loss=bool(has_loss),
                start=start,
                stop=stop,
                tasks=[tasks[task] for task in np.unique(columns["task"][start:stop]).tolist()],
                longest=int(columns["num_positions"][start:stop].max()),
            )
        )
    return strata
