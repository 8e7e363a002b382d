"""One shard of sequences as its file holds it: where the columns of each record batch lie is found once, and a row is
views of the mapped file.

Reads    a shard of sequences.v1
Row in   {"segments": [{"kind": "text", "start": 0, "length": 31, "loss": False}, …], "audio_ids": [[64, …], …], "text_ids": [1, …]}
Row out  `Document(audio_ids=[A, 8], text_ids=[T], spans=[Span(is_audio=False, start=0, length=31, loss=False), …])`

A shard keeps a dozen integers a record batch and nothing a row, so that a rank can have ten thousand shards open.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.kinds.arrays import NUM_CODEBOOKS
from uniaudio_schemas.kinds.migrations import migrate, newest
from uniaudio_schemas.kinds.record import BATCH_ROWS, from_table
from uniaudio_schemas.kinds.sequences import Sequence as SequenceRow
from uniaudio_schemas.store.shards import version_of

from uniaudio.sequence.segments import Segment

# Shapes: A audio frames of a row, T text ids
_KIND = "sequences"
_A = ord("a")
"""`audio` begins with it, `text` does not; the index refuses other kinds (`sequence_index`)."""


class Span(NamedTuple):
    """A segment: which elements of the row's audio or text ids."""

    is_audio: bool
    start: int
    length: int
    loss: bool


@dataclass(frozen=True, slots=True)
class Document:
    """One example: where it is, and views of the shard's file when they are asked for; they are read-only."""

    shard: "SequenceShard"
    row: int

    @property
    def audio_ids(self) -> np.ndarray:
        """`[A, 8]` int16."""
        return self.shard.audio_ids(self.row)

    @property
    def text_ids(self) -> np.ndarray:
        """`[T]` int32."""
        return self.shard.text_ids(self.row)

    def spans(self) -> list[Span]:
        return self.shard.spans(self.row)

    def segments(self) -> list[Segment]:
        """Laid-out ids, in their order."""
        audio, text = self.audio_ids, self.text_ids
        return [
            Segment((audio if is_audio else text)[start : start + length], loss)
            for is_audio, start, length, loss in self.spans()
        ]


class Block(NamedTuple):
    """The rows of one record batch: row i has the elements `bounds[i]` to `bounds[i + 1]`."""

    audio_ids: np.ndarray
    """`[frames, 8]` int16."""
    audio_bounds: np.ndarray
    """`[rows + 1]` int32."""
    text_ids: np.ndarray
    """`[text ids]` int32."""
    text_bounds: np.ndarray
    """`[rows + 1]` int32."""


class _Places(NamedTuple):
    """Where a record batch's columns begin, in elements of their own type from the start of the file."""

    first_row: int
    id_offsets: int
    id_bytes: int
    audio_offsets: int
    audio: int
    text_offsets: int
    text: int
    segment_offsets: int
    kind_offsets: int
    kind_bytes: int
    start: int
    length: int
    loss: int
    """Place of the bytes that hold one bit a segment."""


class SequenceShard:
    """Random access to the rows of one Arrow IPC file, by their place in it."""

    def __init__(self, buffer: pa.Buffer, where: str) -> None:
        self._buffer = buffer
        self.where = where
        bytes_ = np.frombuffer(buffer, np.uint8)
        # The last bytes of the file are its footer, so nothing of a column is cut off.
        self._int8, aligned_bytes = bytes_, bytes_[: len(bytes_) // 8 * 8]
        self._int16, self._int32, self._int64 = (
            aligned_bytes.view(np.int16),
            aligned_bytes.view(np.int32),
            aligned_bytes.view(np.int64),
        )
        self._batches: list[_Places] = []
        first_row, address = 0, buffer.address
        for batch in self.batches():
            self._batches.append(_places(batch, first_row, address))
            first_row += len(batch)
        self.num_rows = first_row
        self._first_rows = [places.first_row for places in self._batches]

    @classmethod
    def open(cls, path: Path) -> "SequenceShard":
        """Memory-mapped. A file that is no shard of sequences is a `DataError` that names it."""
        try:
            with pa.memory_map(str(path)) as source:
                buffer = source.read_buffer()
            schema = _opened(buffer).schema
        except (pa.ArrowInvalid, pa.ArrowSerializationError, OSError) as error:
            raise DataError(f"{path}: not a shard ({' '.join(str(error).split())}).") from error
        version = version_of(schema.empty_table(), _KIND, path)
        if version != newest(_KIND).version:
            return cls.of(migrate(_opened(buffer).read_all(), _KIND, version, str(path)), str(path))
        if not schema.equals(newest(_KIND).arrow):
            raise DataError(f"{path}: must have the columns of sequences, but has {', '.join(schema.names)}.")
        return cls(buffer, str(path))

    @classmethod
    def of(cls, table: pa.Table, where: str) -> "SequenceShard":
        """A table of memory, as its file would be."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks(), max_chunksize=BATCH_ROWS)
        return cls(sink.getvalue(), where)

    @property
    def metadata(self) -> dict[str, str]:
        """What the shard's writer said of it."""
        entries = _opened(self._buffer).schema.metadata or {}
        return {key.decode(): value.decode() for key, value in entries.items()}

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its record batches, in order; zero-copy."""
        reader = _opened(self._buffer)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)

    def blocks(self) -> Iterator[Block]:
        """All rows, as views of the file."""
        lasts = [*self._first_rows[1:], self.num_rows]
        for places, last_row in zip(self._batches, lasts, strict=True):
            num_bounds = last_row - places.first_row + 1
            audio_bounds = self._int32[places.audio_offsets : places.audio_offsets + num_bounds]
            text_bounds = self._int32[places.text_offsets : places.text_offsets + num_bounds]
            audio = self._int16[places.audio : places.audio + int(audio_bounds[-1]) * NUM_CODEBOOKS]
            text = self._int32[places.text : places.text + int(text_bounds[-1])]
            yield Block(audio.reshape(-1, NUM_CODEBOOKS), audio_bounds, text, text_bounds)

    def audio_ids(self, row: int) -> np.ndarray:
        places, row_of_batch = self._find(row)
        first, last = self._bounds(places.audio_offsets + row_of_batch)
        begin = places.audio + first * NUM_CODEBOOKS
        return self._int16[begin : places.audio + last * NUM_CODEBOOKS].reshape(-1, NUM_CODEBOOKS)

    def text_ids(self, row: int) -> np.ndarray:
        places, row_of_batch = self._find(row)
        first, last = self._bounds(places.text_offsets + row_of_batch)
        return self._int32[places.text + first : places.text + last]

    def spans(self, row: int) -> list[Span]:
        places, row_of_batch = self._find(row)
        first, last = self._bounds(places.segment_offsets + row_of_batch)
        kinds = self._int32[places.kind_offsets + first : places.kind_offsets + last].tolist()
        starts = self._int64[places.start + first : places.start + last].tolist()
        lengths = self._int64[places.length + first : places.length + last].tolist()
        packed = self._int8[places.loss + first // 8 : places.loss + (last + 7) // 8].tobytes()
        bits = int.from_bytes(packed, "little") >> first % 8
        return [
            Span(bool(self._int8[places.kind_bytes + kind] == _A), start, length, bool(bits >> number & 1))
            for number, (kind, start, length) in enumerate(zip(kinds, starts, lengths, strict=True))
        ]

    def sequence_id(self, row: int) -> str:
        places, row_of_batch = self._find(row)
        first, last = self._bounds(places.id_offsets + row_of_batch)
        return self._int8[places.id_bytes + first : places.id_bytes + last].tobytes().decode()

    def row(self, row: int) -> SequenceRow:
        """One row with everything that the file says of it, such as clip ids, for lineage and evaluation."""
        number = bisect_right(self._first_rows, row) - 1
        batch = _opened(self._buffer).get_batch(number).slice(row - self._first_rows[number], 1)
        sequence_row: SequenceRow = from_table(pa.Table.from_batches([batch]), SequenceRow)[0]
        return sequence_row

    def _find(self, row: int) -> tuple[_Places, int]:
        places = self._batches[bisect_right(self._first_rows, row) - 1]
        return places, row - places.first_row

    def _bounds(self, place: int) -> tuple[int, int]:
        first, last = self._int32[place : place + 2].tolist()
        return first, last


def _opened(buffer: pa.Buffer) -> pa.ipc.RecordBatchFileReader:
    return pa.ipc.open_file(pa.BufferReader(buffer))


def _places(batch: pa.RecordBatch, first_row: int, address: int) -> _Places:
    """Places of the columns of `batch`; `address` is that of the file's first byte."""

    def place(column: pa.Array, number: int, width: int) -> int:
        """Place of a buffer of `column` (Arrow's columnar format, "buffer listing for each layout")."""
        buffer = column.buffers()[number]
        return 0 if buffer is None else (buffer.address - address) // width

    ids, audio, text, segments = (batch[name] for name in ("sequence_id", "audio_ids", "text_ids", "segments"))
    kind, start, length, loss = (segments.values.field(name) for name in ("kind", "start", "length", "loss"))
    return _Places(
        first_row=first_row,
        id_offsets=place(ids, 1, 4),
        id_bytes=place(ids, 2, 1),
        audio_offsets=place(audio, 1, 4),
        audio=place(audio.values.values, 1, 2),
        text_offsets=place(text, 1, 4),
        text=place(text.values, 1, 4),
        segment_offsets=place(segments, 1, 4),
        kind_offsets=place(kind, 1, 4),
        kind_bytes=place(kind, 2, 1),
        start=place(start, 1, 8),
        length=place(length, 1, 8),
        loss=place(loss, 1, 1),
    )
