"""Units of the edge, from a manifest alone: how many, what they are called, and which of them a hash falls into.

A source is all that was annotated under one name (`queen-00000`, `queen-00001`, … are the source `queen`): a corpus. A unit is a
range of hashes of a source, so that a shard holds one corpus and adding a few clips changes few shards. The number of units of a source is a
power of two that follows from its number of rows.
"""

import re
from collections import Counter

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.store.manifest import Manifest

CELLS_PER_UNIT = 16
"""A source's hashes are counted in so many cells for each of its units."""
_NUMBERED = re.compile(r"(.*)-(?:\d+|[0-9a-f]{16})")
_HASH_BITS = 32


def source_of(annotated_unit: str) -> str:
    """The source that a shard of `annotated` belongs to."""
    match = _NUMBERED.fullmatch(annotated_unit)
    return match.group(1) if match else annotated_unit


def num_units_by_source(annotated: Manifest, clips_per_unit: int) -> dict[str, int]:
    """Source -> number of its units, a power of two: on average at most `clips_per_unit` clips each."""
    rows: Counter[str] = Counter()
    for shard in annotated.shards:
        rows[source_of(shard.unit)] += shard.num_rows
    return {name: 1 << max(0, -(-count // clips_per_unit) - 1).bit_length() for name, count in sorted(rows.items())}


def units_of(annotated: Manifest, clips_per_unit: int) -> list[str]:
    """Every unit, by name."""
    counts = num_units_by_source(annotated, clips_per_unit)
    return sorted(unit_name(source, number) for source, count in counts.items() for number in range(count))


def unit_name(source: str, number: int) -> str:
    return f"{source}-{number:05d}"


def parse_unit(unit: str) -> tuple[str, int]:
    """The inverse of `unit_name`."""
    source, separator, number = unit.rpartition("-")
    if not separator or not number.isdigit():
        raise UsageError(f"`unit` must be a source and a number, such as queen-00003, but is {unit!r}.")
    return source, int(number)


def cells_of(hashes: np.ndarray, num_units: int) -> np.ndarray:
    """`[N]` uint64 hashes -> `[N]` int64 cells, in the order of the hashes."""
    top = (hashes >> np.uint64(64 - _HASH_BITS)).astype(np.int64)
    return (top * (num_units * CELLS_PER_UNIT)) >> _HASH_BITS


def unit_numbers(
    hashes: np.ndarray, clip_hashes: np.ndarray, cell_counts: np.ndarray, num_units: int, clips_per_unit: int
) -> np.ndarray:
    """`[N]` int64: the unit of each key.

    `hashes` are of the keys that rows are brought together by, `clip_hashes` of the rows' own ids, `cell_counts` says how many rows of the
    source each cell holds. A cell of more than `clips_per_unit` rows (one speaker with a hundred thousand clips) is spread over several
    units by the rows' own hashes: no unit grows with its largest group.
    """
    cells = cells_of(hashes, num_units)
    parts = np.maximum(1, -(-cell_counts // clips_per_unit))[cells]
    own = (clip_hashes >> np.uint64(64 - _HASH_BITS)).astype(np.int64)
    numbers: np.ndarray = (cells // CELLS_PER_UNIT + ((own * parts) >> _HASH_BITS)) % num_units
    return numbers


def spread_of(cell: int, cell_counts: np.ndarray, num_units: int, clips_per_unit: int) -> tuple[int, int]:
    """The first unit that a cell comes to, and over how many it is spread."""
    return cell // CELLS_PER_UNIT % num_units, max(1, -(-int(cell_counts[cell]) // clips_per_unit))


def loads_of(cell_counts: np.ndarray, num_units: int, clips_per_unit: int) -> np.ndarray:
    """`[num_units]` int64: about how many rows each unit holds, from the cells' counts alone."""
    loads = np.zeros(num_units, np.int64)
    for cell in np.nonzero(cell_counts)[0].tolist():
        first, num_parts = spread_of(cell, cell_counts, num_units, clips_per_unit)
        places = np.arange(num_parts + 1) * int(cell_counts[cell]) // num_parts
        np.add.at(loads, (first + np.arange(num_parts)) % num_units, np.diff(places))
    return loads
