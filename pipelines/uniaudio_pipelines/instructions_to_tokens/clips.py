"""Which clips a unit has, and how each is made: one pass over instructions, annotated and raw, whatever the number of units.

Reads    instructions (`segments`, `recipes`), annotated and raw (where audio lies)
Writes   <cache>/instructions_to_tokens/<plan id>/named/<part>-clips.arrow, -recipes.arrow    what segments name
         …/placed/<part>-cuts.arrow, -raws.arrow    rows behind those clips, and behind the parents of their recipes
Row      {"hash": 9183…, "clip_id": "5f1c…", "raw_clip_id": "0a77…", "domain": "speech", "first_sample": 0, …}

A part is a range of hashed clip ids, one unit or a few. Shards are read one after the other and their rows routed to the
parts that need them, so that memory holds a shard and a part. A machine makes both folders once; `placed` only when a
clip has no codes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction, Recipe
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import schema_of
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Plan

from uniaudio_pipelines.places import Cut, RawAudio
from uniaudio_pipelines.running.hashed import (
    HashRange,
    between,
    hashed,
    hashes_of,
    positions_of,
    range_numbers,
    read_table,
    rows_with,
    write_table,
)
from uniaudio_pipelines.running.node_folder import NodeFolder

MAX_PART_BITS = 6
"""64 parts: so many files are open at once."""
_ROUTED_ROWS = 1 << 16
"""Rows that are routed at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What some clips are made from, by clip id."""

    recipes: dict[str, Recipe]
    cuts: dict[str, Cut]
    raws: dict[str, RawAudio]


def _columns(row_class: type[Any], of: type[Any]) -> pa.Schema:
    return pa.schema([schema_of(of).arrow.field(each.name) for each in fields(row_class)])


CLIPS = pa.schema([pa.field("clip_id", pa.string(), nullable=False)])
RECIPES = pa.schema(schema_of(Instruction).arrow.field("recipes").type.value_type.fields)
CUTS, RAWS = _columns(Cut, Annotated), _columns(RawAudio, Raw)


class Clips:
    """The clips of a plan's units."""

    def __init__(self, store: Store, plan: Plan, bits: int, folder: Path) -> None:
        self._store, self._plan, self._bits = store, plan, bits
        self._part_bits = min(bits, MAX_PART_BITS)
        self._folder = NodeFolder(folder)
        self._named = self._folder.once("named", self._name)

    def of(self, unit: HashRange) -> pa.Array:
        """Ids that segments name within a unit."""
        table = read_table(self._named / f"{self._part_of(unit):02d}-clips.arrow")
        return between(table, unit)["clip_id"].combine_chunks()

    def sources(self, unit: HashRange, clips: pa.Array) -> Sources:
        """Sources of the unit's clips. A clip that is neither a recipe nor annotated is in none of them."""
        placed, part = self._folder.once("placed", self._place), self._part_of(unit)
        recipes = rows_with(read_table(self._named / f"{part:02d}-recipes.arrow"), clips, "clip_id")
        parents = recipes["parents"].combine_chunks().flatten()
        others = pc.unique(pa.concat_arrays([clips.filter(pc.invert(pc.is_in(clips, recipes["clip_id"]))), parents]))
        cuts = rows_with(read_table(placed / f"{part:02d}-cuts.arrow"), others, "clip_id")
        raw_ids = pc.unique(cuts["raw_clip_id"].combine_chunks())
        raws = rows_with(read_table(placed / f"{part:02d}-raws.arrow"), raw_ids, "clip_id")
        return Sources(
            recipes={row["clip_id"]: Recipe(**row) for row in recipes.select(RECIPES.names).to_pylist()},
            cuts={row["clip_id"]: Cut(**row) for row in cuts.select(CUTS.names).to_pylist()},
            raws={row["clip_id"]: RawAudio(**row) for row in raws.select(RAWS.names).to_pylist()},
        )

    def _part_of(self, unit: HashRange) -> int:
        return unit.number >> (self._bits - self._part_bits)

    def _name(self, folder: Path) -> None:
        instructions = self._store.version_with("instructions", self._plan.parents["instructions"])
        clips, recipes = (
            _Spool(folder, "clips", CLIPS, self._part_bits),
            _Spool(folder, "recipes", RECIPES, self._part_bits),
        )
        for table in self._store.tables(instructions, ["segments", "recipes"]):
            for batch in table.to_batches():
                named = pc.unique(batch["segments"].flatten().field("clip_id"))
                clips.add(pa.table([named.filter(pc.not_equal(named, ""))], schema=CLIPS))
                recipe_structs = batch["recipes"].flatten()
                recipes.add(pa.table(recipe_structs.flatten(), schema=RECIPES))
        for part in range(1 << self._part_bits):
            for spool in (clips, recipes):
                write_table(hashed(spool.read(part), "clip_id"), folder / f"{part:02d}-{spool.name}.arrow")
        clips.remove()
        recipes.remove()

    def _place(self, folder: Path) -> None:
        annotated = self._store.version_with("annotated", self._plan.parents["annotated"])
        raw = self._store.version_with("raw", self._plan.parents["raw"])
        cuts, raws = _Spool(folder, "cuts", CUTS, self._part_bits), _Spool(folder, "raws", RAWS, self._part_bits)
        needs, raw_needs = _Needs(), _Needs()
        raw_needs.add(np.zeros(0, np.uint64), np.zeros(0, np.int64))
        for part in range(1 << self._part_bits):
            self._add_needs(needs, part)
        for table in _in_large_tables(self._store.tables(annotated, CUTS.names), CUTS):
            rows, parts = needs.of(hashes_of(table["clip_id"].to_pylist()))
            cut_rows = table.take(pa.array(rows))
            cuts.add(cut_rows, parts)
            raw_needs.add(hashes_of(cut_rows["raw_clip_id"].to_pylist()), parts)
        for table in _in_large_tables(self._store.tables(raw, RAWS.names), RAWS):
            rows, parts = raw_needs.of(hashes_of(table["clip_id"].to_pylist()))
            raws.add(table.take(pa.array(rows)), parts)
        for spool in (cuts, raws):
            for part in range(1 << self._part_bits):
                write_table(hashed(spool.read(part), "clip_id"), folder / f"{part:02d}-{spool.name}.arrow")
            spool.remove()

    def _add_needs(self, needs: "_Needs", part: int) -> None:
        """Add what the clips of a part need: the clips themselves, or the parents of their recipes."""
        clips = read_table(self._named / f"{part:02d}-clips.arrow")
        recipes = read_table(self._named / f"{part:02d}-recipes.arrow")
        is_made = pc.is_in(clips["clip_id"], value_set=recipes["clip_id"].combine_chunks())
        parents = pc.unique(recipes["parents"].combine_chunks().flatten())
        hashes = [clips.filter(pc.invert(is_made))["hash"].to_numpy(), hashes_of(parents.to_pylist())]
        for one in hashes:
            needs.add(one, np.full(len(one), part))


class _Spool:
    """Tables cut into parts, each part appended to a file of its own."""

    def __init__(self, folder: Path, name: str, schema: pa.Schema, bits: int) -> None:
        self.name, self._bits = name, bits
        self._paths = [folder / f"{name}-{part:02d}.spool" for part in range(1 << bits)]
        self._writers = [pa.ipc.new_stream(str(path), schema) for path in self._paths]
        self._waiting: list[tuple[pa.Table, np.ndarray | None]] = []
        self._num_waiting = 0

    def add(self, table: pa.Table, parts: np.ndarray | None = None) -> None:
        """`parts` `[N]` of the rows; by their `clip_id` where it is None."""
        self._waiting.append((table, parts))
        self._num_waiting += len(table)
        if self._num_waiting >= _ROUTED_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._num_waiting:
            table = pa.concat_tables([table for table, _ in self._waiting]).combine_chunks()
            parts = np.concatenate([self._parts(*one) for one in self._waiting])
            order = np.argsort(parts, kind="stable")
            table, bounds = table.take(pa.array(order)), np.searchsorted(parts[order], range(len(self._paths) + 1))
            for writer, first, end in zip(self._writers, bounds, bounds[1:], strict=False):
                if end > first:
                    writer.write_table(table.slice(first, end - first))
        self._waiting, self._num_waiting = [], 0

    def _parts(self, table: pa.Table, parts: np.ndarray | None) -> np.ndarray:
        return range_numbers(hashes_of(table["clip_id"].to_pylist()), self._bits) if parts is None else parts

    def read(self, part: int) -> pa.Table:
        self._flush()
        if self._writers:
            for writer in self._writers:
                writer.close()
            self._writers = []
        with pa.memory_map(str(self._paths[part])) as source, pa.ipc.open_stream(source) as reader:
            table: pa.Table = reader.read_all()
            return table

    def remove(self) -> None:
        for path in self._paths:
            path.unlink()


class _Needs:
    """Which parts need the row whose id has a hash; 16 bytes each."""

    def __init__(self) -> None:
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, hashes: np.ndarray, parts: np.ndarray) -> None:
        self._pairs.append(_distinct(hashes, parts))

    def of(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (index in `hashes`, part that needs it)."""
        if len(self._pairs) > 1:
            self._pairs = [_distinct(*map(np.concatenate, zip(*self._pairs, strict=True)))]
        needed, parts = self._pairs[0]
        rows, positions = positions_of(needed, hashes)
        return rows, parts[positions]


def _distinct(hashes: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs sorted, each once."""
    order = np.lexsort((parts, hashes))
    hashes, parts = hashes[order], parts[order]
    is_first = np.ones(len(hashes), bool)
    is_first[1:] = (hashes[1:] != hashes[:-1]) | (parts[1:] != parts[:-1])
    return hashes[is_first], parts[is_first]


def _in_large_tables(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The same rows in fewer tables."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table.cast(schema) if table.schema != schema else table.replace_schema_metadata(None))
        if sum(map(len, held)) >= _ROUTED_ROWS:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)
