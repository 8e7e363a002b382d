"""The same documents of codes in the formats of other loaders, each read through its own public interface.

One reader gives `blocks()`, all codes once in the largest arrays that the library hands out, and `documents(numbers)`, the
codes `[frames, 8]` int16 of single documents, in as few calls as the library offers.

    pip install litdata mosaicml-streaming pylance datasets webdataset
"""

import io
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from uniaudio_schemas.kinds.sequences import Sequence as SequenceRow
from uniaudio_schemas.kinds.sequences import SequenceSegment
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio.training.sequences.dataset import SequenceSet

NUM_CODEBOOKS = 8
SHARD_DOCUMENTS = 2048


class Reader(ABC):
    """`Reader(documents, folder)` writes them and opens what it wrote."""

    @abstractmethod
    def blocks(self) -> Iterator[np.ndarray]: ...

    def documents(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        raise NotImplementedError


class Ours(Reader):
    """A version of sequences in a store, by `SequenceSet`."""

    def __init__(self, documents: list[np.ndarray], folder: Path) -> None:
        rows = [_row(number, codes) for number, codes in enumerate(documents)]
        units = {
            f"{first:06d}": rows[first : first + SHARD_DOCUMENTS] for first in range(0, len(rows), SHARD_DOCUMENTS)
        }
        store = Store(folder)
        plan = Plan(
            kind="sequences", schema_version=1, parents={}, parameters={}, code_version="bench", units=list(units)
        )
        with store.writer(plan, owner="bench") as writer:
            for unit, members in units.items():
                writer.put_shard(unit, members)
            self._set = SequenceSet.open(store, writer.publish())
        self._examples = self._set.groups(max_length=1 << 20)["asr"]

    def blocks(self) -> Iterator[np.ndarray]:
        return (block.audio_ids for block in self._set.blocks())

    def documents(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        return (document.audio_ids for document in self._set.documents(self._examples, numbers))


def _row(number: int, codes: np.ndarray) -> SequenceRow:
    segments = [
        SequenceSegment(kind="text", start=0, length=8, loss=False),
        SequenceSegment(kind="audio", start=0, length=len(codes), loss=True),
    ]
    return SequenceRow(
        # Ids ascend, so that a number is the same document everywhere.
        sequence_id=f"{number:032x}", task="asr", mixture="asr", split="train", corpus="made", segments=segments,
        audio_ids=codes, text_ids=np.arange(8, dtype=np.int32),
    )  # fmt: skip


class Memmap(Reader):
    """All codes in one file and the bounds of documents in another, as Megatron lays tokens out."""

    def __init__(self, documents: list[np.ndarray], folder: Path) -> None:
        np.concatenate(documents).tofile(folder / "codes.bin")
        np.cumsum([0, *map(len, documents)]).tofile(folder / "bounds.bin")
        self._codes = np.memmap(folder / "codes.bin", np.int16, "r").reshape(-1, NUM_CODEBOOKS)
        self._bounds = np.memmap(folder / "bounds.bin", np.int64, "r")

    def blocks(self) -> Iterator[np.ndarray]:
        return (self._codes[first : first + (1 << 18)] for first in range(0, len(self._codes), 1 << 18))

    def documents(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        codes = np.asarray(self._codes)
        firsts, lasts = self._bounds[numbers].tolist(), self._bounds[np.asarray(numbers) + 1].tolist()
        return (codes[first:last] for first, last in zip(firsts, lasts, strict=True))


class Datasets(Reader):
    """Arrow format, which copies least."""

    def __init__(self, documents: list[np.ndarray], folder: Path) -> None:
        datasets = pytest.importorskip("datasets")
        datasets.disable_progress_bars()
        datasets.Dataset(_table(documents)).save_to_disk(folder / "set")
        self._set = datasets.load_from_disk(folder / "set").with_format("arrow")

    def blocks(self) -> Iterator[np.ndarray]:
        return (_flat(table["codes"].combine_chunks()) for table in self._set.iter(batch_size=1024))

    def documents(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        return (_flat(self._set[number]["codes"].combine_chunks()) for number in numbers)


class Lance(Reader):
    def __init__(self, documents: list[np.ndarray], folder: Path) -> None:
        lance = pytest.importorskip("lance")
        lance.write_dataset(_table(documents), str(folder / "set"))
        self._set = lance.dataset(str(folder / "set"))

    def blocks(self) -> Iterator[np.ndarray]:
        return (_flat(batch["codes"]) for batch in self._set.to_batches(batch_size=1024))

    def documents(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        for first in range(0, len(numbers), 512):
            column = self._set.take(list(numbers[first : first + 512])).column("codes")
            for chunk in column.chunks:
                bounds = chunk.offsets.to_numpy()
                codes = np.asarray(chunk.values.to_numpy()).reshape(-1, NUM_CODEBOOKS)
                bounds = (bounds - bounds[0]) // NUM_CODEBOOKS
                yield from (codes[first:last] for first, last in zip(bounds[:-1], bounds[1:], strict=True))


class LitData(Reader):
    def __init__(self, documents: list[np.ndarray], folder: Path) -> None:
        litdata = pytest.importorskip("litdata")
        from litdata.streaming.writer import BinaryWriter

        (folder / "set").mkdir()
        writer = BinaryWriter(str(folder / "set"), chunk_bytes="64MB")
        for number, codes in enumerate(documents):
            writer[number] = {"codes": codes}
        writer.done(), writer.merge()
        self._set = litdata.StreamingDataset(str(folder / "set"), shuffle=False)

    def blocks(self) -> Iterator[np.ndarray]:
        return (item["codes"] for item in self._set)

    def documents(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        return (self._set[number]["codes"] for number in numbers)


class Streaming(Reader):
    """mosaicml-streaming's MDS."""

    def __init__(self, documents: list[np.ndarray], folder: Path) -> None:
        streaming = pytest.importorskip("streaming")
        with streaming.MDSWriter(out=str(folder / "set"), columns={"codes": "ndarray:int16"}) as writer:
            for codes in documents:
                writer.write({"codes": codes})
        self._set = streaming.StreamingDataset(local=str(folder / "set"), shuffle=False, batch_size=1)

    def blocks(self) -> Iterator[np.ndarray]:
        return (item["codes"] for item in self._set)

    def documents(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        return (self._set[number]["codes"] for number in numbers)


class WebDataset(Reader):
    """Bytes in tar files; it has no random access."""

    def __init__(self, documents: list[np.ndarray], folder: Path) -> None:
        self._wds = pytest.importorskip("webdataset")
        self._path = folder / "codes.tar"
        with tarfile.open(self._path, "w") as tar:
            for number, codes in enumerate(documents):
                info = tarfile.TarInfo(f"{number:06d}.codes")
                info.size = codes.nbytes
                tar.addfile(info, io.BytesIO(codes.tobytes()))

    def blocks(self) -> Iterator[np.ndarray]:
        rows: Any = self._wds.WebDataset(str(self._path), shardshuffle=False, empty_check=False)
        return (np.frombuffer(row["codes"], np.int16).reshape(-1, NUM_CODEBOOKS) for row in rows)


READERS = {
    "ours": Ours, "memmap": Memmap, "datasets": Datasets, "lance": Lance, "litdata": LitData, "mosaicml-streaming": Streaming,
    "webdataset": WebDataset,
}  # fmt: skip


def _table(documents: list[np.ndarray]) -> pa.Table:
    bounds = np.cumsum([0, *(codes.size for codes in documents)]).astype(np.int32)
    flat = np.concatenate([codes.reshape(-1) for codes in documents])
    return pa.table({"codes": pa.ListArray.from_arrays(bounds, flat)})


def _flat(column: pa.ListArray) -> np.ndarray:
    return column.flatten().to_numpy().reshape(-1, NUM_CODEBOOKS)
