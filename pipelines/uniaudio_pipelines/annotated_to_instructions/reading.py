"""What one unit reads: the clips of its range of hashes on each route, and nothing else of the corpus."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from uniaudio_schemas.kinds.annotated import Annotated, Word
from uniaudio_schemas.kinds.raw import Fact
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.tasks.annotations import TRAIN
from uniaudio_pipelines.annotated_to_instructions.context import Background, Context, WordTimes
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.packs import (
    COLUMNS,
    NUM_BACKGROUNDS,
    Pack,
    make_packs,
    packs_of,
)
from uniaudio_pipelines.annotated_to_instructions.routes import ROUTES, hash64, home_key
from uniaudio_pipelines.annotated_to_instructions.units import (
    cells_of,
    loads_of,
    num_units_by_source,
    parse_unit,
    spread_of,
    unit_numbers,
)
from uniaudio_pipelines.running.node_folder import InUse

WORD_COLUMNS = ("words", "given_words")
"""Read for few clips: a dozen words cost more than the rest of a row."""
_NOT_AT_ONCE = {*WORD_COLUMNS, "turns"}
CLIP_COLUMNS = tuple(name for name in COLUMNS if name not in _NOT_AT_ONCE)


@dataclass(frozen=True, slots=True)
class LeftOut:
    clip_id: str
    reason: str
    detail: str


class Annotations:
    """The packs of one version of `annotated`; makes those that are not there."""

    def __init__(self, store: Store, annotated: Manifest, folder: Path, job: AnnotatedToInstructions) -> None:
        self._job = job
        self._in_use = InUse(folder)
        self._packs = packs_of(annotated, folder)
        self._num_units = num_units_by_source(annotated, job.clips_per_unit)
        make_packs(store, annotated, self._packs, job.clips_per_unit)

    def clips(self, route: str, unit: str, *, alone: bool) -> tuple[list[Annotated], list[LeftOut]]:
        """The unit's clips on a route in the order of their ids, and what the job's policies leave out of all routes. Where not `alone`,
        a clip without company is not read."""
        table = self._table(route, unit, alone=alone)
        reasons = self._reasons(table)
        is_kept = np.array([not reason for reason in reasons], bool)
        names = table["clip_id"].to_pylist()
        left_out = [LeftOut(name, *reason) for name, reason in zip(names, reasons, strict=True) if reason]
        kept_rows = table.select(CLIP_COLUMNS).filter(pa.array(is_kept)).sort_by("clip_id")
        return [_clip(row) for row in kept_rows.to_pylist()], left_out

    def words(self, unit: str, clip_ids: Iterable[str]) -> WordTimes:
        """Clip id -> words of the transcript and of the given text, with their times; of clips that are at home in the unit."""
        ids = pa.array(sorted(clip_ids), pa.string())
        table = self._table("home", unit, alone=True, columns=("clip_id", *WORD_COLUMNS), only=ids)
        return {
            row["clip_id"]: ([Word(**word) for word in row["words"]], [Word(**word) for word in row["given_words"]])
            for row in table.to_pylist()
        }

    def context(self, unit: str) -> Context:
        return Context(
            job=self._job,
            synthetic_share=self._synthetic_share,
            backgrounds=lambda split: self._backgrounds.get(split, []),
            words=lambda clip_ids: self.words(unit, clip_ids),
        )

    def num_units(self, unit: str) -> int:
        """Number of units of this unit's source."""
        return self._num_units[parse_unit(unit)[0]]

    def clips_before(self, unit: str) -> tuple[int, int, int]:
        """Approximate numbers of the source's clips: in the units before this one, up to and with this one, and in all."""
        source, number = parse_unit(unit)
        if not any(pack.source == source for pack in self._packs):
            return 0, 0, 1
        loads = loads_of(self._cells(source, "home"), self._num_units[source], self._job.clips_per_unit)
        before = np.concatenate([[0], np.cumsum(loads)]).tolist()
        return before[number], before[number + 1], before[-1]

    def part_of_home(self, unit: str, clip: Annotated) -> tuple[int, int]:
        """Among how many units those at home with the clip are spread, and which of them the unit is."""
        source, number = parse_unit(unit)
        num_units = self._num_units[source]
        cell = int(cells_of(np.array([hash64(clip.corpus, clip.split, home_key(clip))], np.uint64), num_units)[0])
        first, num_parts = spread_of(cell, self._cells(source, "home"), num_units, self._job.clips_per_unit)
        return num_parts, (number - first) % num_units

    def _table(
        self,
        route: str,
        unit: str,
        *,
        alone: bool,
        columns: tuple[str, ...] = CLIP_COLUMNS,
        only: pa.Array | None = None,
    ) -> pa.Table:
        source, number = parse_unit(unit)
        chosen = [(pack, *self._chosen(pack, route, number)) for pack in self._packs if pack.source == source]
        if not alone and chosen:
            # One of a key has nobody to go with.
            distinct_keys, counts = np.unique(np.concatenate([keys for _, _, keys in chosen]), return_counts=True)
            shared = distinct_keys[counts > 1]
            chosen = [(pack, rows[np.isin(keys, shared)], keys) for pack, rows, keys in chosen]
        names = [*columns, "cluster"] if only is None else list(columns)
        tables = [_open(pack).select(names).take(pa.array(rows)) for pack, rows, _ in chosen]
        if not tables:
            empty = Annotated.SCHEMA.arrow.empty_table().select(columns)  # type: ignore[attr-defined]
            return empty if only is not None else empty.append_column("cluster", pa.array([], pa.uint64()))
        table = pa.concat_tables(tables)
        return table if only is None else table.filter(pa.compute.is_in(table["clip_id"], value_set=only))

    def _chosen(self, pack: Pack, route: str, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a pack that go to unit `number` of its source by a route, and their keys' hashes."""
        table = _open(pack)
        hashes = table[f"route_{route}"].to_numpy()
        own = table["own"].to_numpy()
        num_units = self._num_units[pack.source]
        units = unit_numbers(hashes, own, self._cells(pack.source, route), num_units, self._job.clips_per_unit)
        (rows,) = np.nonzero((units == number) & (hashes > 0))
        return rows, hashes[rows]

    def _cells(self, source: str, route: str) -> np.ndarray:
        return self._counts[(source, route)]

    @cached_property
    def _counts(self) -> dict[tuple[str, str], np.ndarray]:
        """(source, route) -> rows in each cell."""
        total: dict[tuple[str, str], np.ndarray] = {}
        for pack in self._packs:
            for route in ROUTES:
                key = (pack.source, route)
                total[key] = total.get(key, 0) + self._facts(pack, f"cells_{route}")
        return total

    @cached_property
    def _on_both_sides(self) -> np.ndarray:
        """Clusters of copies that are in training and held out, over all corpora."""
        none = np.zeros(0, np.uint64)
        held_out = np.unique(np.concatenate([none, *(self._facts(pack, "clusters_held_out") for pack in self._packs)]))
        trained = (self._facts(pack, "clusters_train") for pack in self._packs)
        return np.unique(np.concatenate([none, *(np.intersect1d(held_out, some) for some in trained)]))

    @cached_property
    def _synthetic_share(self) -> float:
        """Share of the clips in which a machine speaks that may be targets, so that they are at most `max_synthetic_share` of all speech."""
        counts = [self._facts(pack, "num_targets").tolist() for pack in self._packs]
        real, synthetic = (sum(count[place] for count in counts) for place in (0, 1))
        limit = self._job.max_synthetic_share
        return 1.0 if limit == 1 or not synthetic else min(1.0, limit / (1 - limit) * real / synthetic)

    @cached_property
    def _backgrounds(self) -> dict[str, list[Background]]:
        backgrounds: dict[str, list[Background]] = {}
        for pack in self._packs:
            for row in json.loads(str(self._facts(pack, "backgrounds"))):
                own = row.pop("own")
                if row["duplicate_cluster"] and np.isin(
                    np.uint64(hash64(row["duplicate_cluster"])), self._on_both_sides
                ):
                    continue
                clip = Annotated(**row, raw_clip_id=row["clip_id"], corpus=pack.source, path="", licence="")
                backgrounds.setdefault(clip.split, []).append(Background(clip, own))
        return {
            split: sorted(some, key=lambda one: (one.own, one.clip.clip_id))[:NUM_BACKGROUNDS]
            for split, some in backgrounds.items()
        }

    def _facts(self, pack: Pack, name: str) -> np.ndarray:
        with np.load(pack.facts_path) as facts:
            array: np.ndarray = facts[name]
            return array

    def _reasons(self, table: pa.Table) -> list[tuple[str, str] | None]:
        is_copied = np.isin(table["cluster"].to_numpy(), self._on_both_sides)
        return [
            self._reason(split, leaks, bool(copied))
            for split, leaks, copied in zip(
                table["split"].to_pylist(), table["leaks"].to_pylist(), is_copied, strict=True
            )
        ]

    def _reason(self, split: str, leaks: list[str], is_copied: bool) -> tuple[str, str] | None:
        """Why the job leaves a clip out of every example."""
        if split == TRAIN and leaks and self._job.leaks == "drop":
            return "leak", f"shares sound or text with {', '.join(sorted(leaks))}"
        if is_copied and (split == TRAIN) == (self._job.copies == "drop_training"):
            return "copy", f"{split}, but {'held out' if split == TRAIN else 'trained on'} too"
        return None


def _open(pack: Pack) -> pa.Table:
    """Memory-mapped for as long as the table lives: a pack that stays open would stay in memory as far as it was read."""
    with pa.memory_map(str(pack.path)) as source, pa.ipc.open_file(source) as reader:
        table: pa.Table = reader.read_all()
        return table


def _clip(row: dict[str, Any]) -> Annotated:
    row["facts"] = [Fact(**fact) for fact in row["facts"]]
    return Annotated(**row)
