"""Rows found by the hash of their id: tables sorted by it, and ranges of it that units of work stand for.

The hash is the first 64 bits of the id's sha256, so that ranges hold about equally many rows, on any machine the same.
A range is one of 2^bits equal parts of all hashes.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.store.manifest import Manifest

HASH_BITS = 64
HASH = pa.field("hash", pa.uint64(), nullable=False)
_UNIT = re.compile(r"clips-(\d+)-of-(\d+)")
_EARLIER_UNIT = re.compile(r"clips-(\d{5})")
"""Unit name in versions whose manifest alone says into how many parts the hashes were cut."""


def hashes_of(ids: Iterable[str]) -> np.ndarray:
    """`[N]` uint64."""
    digests = b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in ids)
    return np.frombuffer(digests, ">u8").astype(np.uint64)


@dataclass(frozen=True, kw_only=True, slots=True)
class HashRange:
    """Part `number` of 2^bits."""

    number: int
    bits: int

    @property
    def first(self) -> int:
        return self.number << (HASH_BITS - self.bits)

    @property
    def last(self) -> int:
        return self.first + (1 << (HASH_BITS - self.bits)) - 1

    def overlaps(self, other: "HashRange") -> bool:
        return self.first <= other.last and other.first <= self.last

    @property
    def unit(self) -> str:
        """`clips-012-of-128`: a shard's range is known from its unit's name."""
        count = 1 << self.bits
        return f"clips-{self.number:0{len(str(count - 1))}d}-of-{count}"

    @classmethod
    def of_unit(cls, unit: str) -> "HashRange | None":
        """The inverse of `unit`; None where the name says no range."""
        match = _UNIT.fullmatch(unit)
        if match is None:
            return None
        number, count = int(match[1]), int(match[2])
        is_range = number < count and count & (count - 1) == 0
        return cls(number=number, bits=count.bit_length() - 1) if is_range else None


EVERYTHING = HashRange(number=0, bits=0)


def ranges_of(bits: int) -> Iterator[HashRange]:
    """All of them, in order."""
    return (HashRange(number=number, bits=bits) for number in range(1 << bits))


def range_numbers(hashes: np.ndarray, bits: int) -> np.ndarray:
    """`[N]` int64: which of the 2^bits ranges each hash is in."""
    return (hashes >> np.uint64(HASH_BITS - bits)).astype(np.int64) if bits else np.zeros(len(hashes), np.int64)


def ranges_of_shards(manifest: Manifest) -> list[HashRange]:
    """Range of the hashed clip ids in each shard of `tokens`; all of them where nothing says it."""
    units = [shard.unit for shard in manifest.shards]
    count = len(units)
    is_earlier = count & (count - 1) == 0 and units == [f"clips-{number:05d}" for number in range(count)]
    if is_earlier and all(map(_EARLIER_UNIT.fullmatch, units)):
        return list(ranges_of(count.bit_length() - 1))
    return [HashRange.of_unit(unit) or EVERYTHING for unit in units]


def hashed(table: pa.Table, id_column: str) -> pa.Table:
    """The table sorted by `hash`, a new first column, each id once."""
    numbers = table[id_column].combine_chunks().dictionary_encode().indices.to_numpy()
    table = table.take(pa.array(np.unique(numbers, return_index=True)[1]))
    hashes = hashes_of(table[id_column].to_pylist())
    table = table.add_column(0, HASH, pa.array(hashes, HASH.type))
    return table.take(pa.array(np.argsort(hashes, kind="stable"))).combine_chunks()


def between(table: pa.Table, part: HashRange) -> pa.Table:
    """The rows of a hashed table within a range; nothing is copied."""
    hashes = table["hash"].to_numpy()
    first, end = np.searchsorted(hashes, np.uint64(part.first)), np.searchsorted(hashes, np.uint64(part.last), "right")
    return table.slice(first, end - first)


def rows_with(table: pa.Table, ids: pa.Array, id_column: str) -> pa.Table:
    """The rows of a hashed table with these ids: a binary search each, whatever the table's size."""
    _, positions = positions_of(table["hash"].to_numpy(), hashes_of(ids.to_pylist()))
    chosen = table.take(pa.array(np.unique(positions)))
    return chosen.filter(pc.is_in(chosen[id_column], value_set=ids))  # two ids may share a hash


def positions_of(sorted_hashes: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (index in `wanted`, index in `sorted_hashes`) of equal hashes."""
    first, end = np.searchsorted(sorted_hashes, wanted), np.searchsorted(sorted_hashes, wanted, "right")
    counts = end - first
    of_wanted = np.repeat(np.arange(len(wanted)), counts)
    starts = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) if len(wanted) else first
    return of_wanted, starts + np.arange(len(of_wanted))


def write_table(table: pa.Table, path: Path) -> None:
    """One record batch, so that a memory-mapped column is one array."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def read_table(path: Path) -> pa.Table:
    """Memory-mapped."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        table: pa.Table = reader.read_all()
        return table
