"""The codes of clips, found by the hash of the clip's id in the shards where they lie: nothing of them is copied.

Reads    tokens
Writes   <cache>/tokens_to_sequences/<plan id>/index/hash.npy, shard.npy, row.npy    16 bytes a clip, sorted by hash
         …/numerics.txt    the arithmetic behind all codes, empty where the shards name none

A machine makes the index once; its workers map it, and the shards.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from uniaudio_schemas.errors import FingerprintError
from uniaudio_schemas.kinds.arrays import NUM_CODEBOOKS
from uniaudio_schemas.kinds.tokens import Tokens
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_pipelines.running.hashed import hashes_of, positions_of
from uniaudio_pipelines.running.node_folder import NodeFolder

_COLUMNS = ("hash", "shard", "row")


class CodesOfClips:
    """Codes of one codec in one version of tokens."""

    def __init__(self, store: Store, tokens: Manifest, codec_id: str, folder: Path) -> None:
        self._store, self._tokens, self._codec_id = store, tokens, codec_id
        self._folder = NodeFolder(folder)
        index = self._folder.once("index", self._make)
        self._hashes, self._shards, self._rows = (np.load(index / f"{name}.npy", mmap_mode="r") for name in _COLUMNS)
        self.numerics = (index / "numerics.txt").read_text()
        self._batches: dict[int, list[_Batch]] = {}

    def of(self, clips: Iterable[str]) -> dict[str, Tokens]:
        """Rows of the clips that have codes; arrays are views of the shards."""
        names = list(clips)
        tokens_by_clip: dict[str, Tokens] = {}
        wanted, positions = positions_of(self._hashes, hashes_of(names))
        for name_index, position in zip(wanted.tolist(), positions.tolist(), strict=True):
            tokens = self._row(int(self._shards[position]), int(self._rows[position]))
            if tokens.clip_id == names[name_index]:
                tokens_by_clip[tokens.clip_id] = tokens
        return tokens_by_clip

    def _row(self, shard: int, row: int) -> Tokens:
        batches = self._batches.get(shard)
        if batches is None:
            table = self._store.table_of_shard(self._tokens, self._tokens.shards[shard])
            batches = self._batches[shard] = [_Batch(batch) for batch in table.to_batches()]
        for batch in batches:
            if row < batch.num_rows:
                return batch.row(row)
            row -= batch.num_rows
        raise AssertionError(f"shard {shard} has no such row")

    def _make(self, folder: Path) -> None:
        hashes, shards, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint32)], [np.zeros(0, np.uint32)]
        all_numerics: set[str] = set()
        for number, shard in enumerate(self._tokens.shards):
            table = self._store.table_of_shard(self._tokens, shard)
            all_numerics.add(self._checked_numerics(table, number))
            hashes.append(hashes_of(table["clip_id"].to_pylist()))
            shards.append(np.full(len(table), number, np.uint32))
            rows.append(np.arange(len(table), dtype=np.uint32))
        if len(all_numerics) > 1:
            raise FingerprintError(
                f"The shards of tokens must share one numerics, but have {', '.join(sorted(all_numerics))}."
            )
        joined = [np.concatenate(parts) for parts in (hashes, shards, rows)]
        order = np.argsort(joined[0], kind="stable")
        for name, values in zip(_COLUMNS, joined, strict=True):
            np.save(folder / f"{name}.npy", values[order])
        (folder / "numerics.txt").write_text("".join(all_numerics))

    def _checked_numerics(self, table: pa.Table, number: int) -> str:
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        codec = metadata.get("codec_fingerprint", self._codec_id)
        if codec != self._codec_id:
            path = self._store.shard_path(self._tokens, self._tokens.shards[number])
            raise FingerprintError(f"{path}: must be of codec {self._codec_id[:8]}, but is of {codec[:8]}.")
        numerics: str = metadata.get("numerics", "")
        return numerics


class _Batch:
    """Rows of a record batch, each made when it is asked for."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.num_rows = batch.num_rows
        self._clip_ids = batch.column("clip_id")
        self._num_samples = batch.column("num_samples").to_numpy()
        self._reasoning = _Frames(batch.column("reasoning_codes"))
        self._reconstruction = _Frames(batch.column("reconstruction_codes"))

    def row(self, row: int) -> Tokens:
        return Tokens(
            clip_id=self._clip_ids[row].as_py(),
            num_samples=int(self._num_samples[row]),
            reasoning_codes=self._reasoning.of(row),
            reconstruction_codes=self._reconstruction.of(row),
        )


class _Frames:
    """Codes of many rows, `[F, 8]`."""

    def __init__(self, column: pa.ListArray) -> None:
        self._ends = np.concatenate([[0], np.cumsum(column.value_lengths().to_numpy(), dtype=np.int64)])
        self._frames = column.flatten().flatten().to_numpy().reshape(-1, NUM_CODEBOOKS)

    def of(self, row: int) -> np.ndarray:
        frames: np.ndarray = self._frames[self._ends[row] : self._ends[row + 1]]
        return frames
