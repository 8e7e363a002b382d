"""Packs: the annotations that examples need, copied once into few large files, with where each row belongs.

Reads    shards of `annotated`, some of which hold a dozen rows
Writes   <cache>/annotated_to_instructions/<plan id>/<source>-<number>.arrow   up to `PACK_ROWS` rows, uncompressed Arrow, with
             `own`, `cluster`, `route_home`, `route_ring`, …: uint64 hashes of the clip's id, of its copies and of its key on each route; 0 is none
         …/<source>-<number>.npz   how many rows each cell of a route holds; clusters of copies; sounds to put behind speech

Every worker makes the packs that nobody has made yet; all of them are there before the first unit is read. A pack is a function of its
shards, so it does not matter who makes it; it is renamed into place when it is whole.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, ShardInfo

from uniaudio.tasks.annotations import TRAIN, is_true, value_of
from uniaudio_pipelines.annotated_to_instructions.routes import KEY_COLUMNS, ROUTES, hash64, keys_of
from uniaudio_pipelines.annotated_to_instructions.units import cells_of, num_units_by_source, source_of

_ROWS_TOGETHER = 1 << 10
PACK_ROWS = 1 << 15
NUM_BACKGROUNDS = 256
"""Sounds of a split, over all corpora, that speech may be heard over: those with the lowest hashes."""
_UNREAD = {"speaker_embedding", "annotations", "asked", "second_transcript"}
COLUMNS = tuple(name for name in Annotated.__dataclass_fields__ if name not in _UNREAD)
_MAX_SPEECH = 0.1
"""Largest share of a background's frames that may hold speech."""
_MIN_BACKGROUND_S = 1.0


@dataclass(frozen=True, slots=True)
class Pack:
    """One pack to be made or read."""

    source: str
    shards: tuple[ShardInfo, ...]
    path: Path

    @property
    def facts_path(self) -> Path:
        return self.path.with_suffix(".npz")


def packs_of(annotated: Manifest, folder: Path) -> list[Pack]:
    """The packs of a version: neighbouring shards of one source."""
    by_source: dict[str, list[ShardInfo]] = {}
    for shard in annotated.shards:
        by_source.setdefault(source_of(shard.unit), []).append(shard)
    packs = []
    for source, shards in sorted(by_source.items()):
        groups = [group for group in _groups(shards) if any(shard.num_rows for shard in group)]
        packs += [
            Pack(source, tuple(group), folder / f"{source}-{number:05d}.arrow") for number, group in enumerate(groups)
        ]
    return packs


def _groups(shards: list[ShardInfo]) -> Iterator[list[ShardInfo]]:
    group: list[ShardInfo] = []
    for shard in shards:
        if group and sum(one.num_rows for one in group) + shard.num_rows > PACK_ROWS:
            yield group
            group = []
        group.append(shard)
    if group:
        yield group


def make_packs(store: Store, annotated: Manifest, packs: list[Pack], clips_per_unit: int) -> None:
    """Make the packs that are not there. Workers that do so at the same time share the work."""
    num_units = num_units_by_source(annotated, clips_per_unit)
    for waits in (False, True):
        for pack in packs:
            if not pack.path.exists():
                pack.path.parent.mkdir(parents=True, exist_ok=True)
                with (pack.path.with_suffix(".lock")).open("w") as lock:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
                    except BlockingIOError:
                        continue
                    if not pack.path.exists():
                        _make(store, annotated, pack, num_units[pack.source])


def _make(store: Store, annotated: Manifest, pack: Pack, num_units: int) -> None:
    table = _table_of(store, annotated, pack)
    hashes = {name: np.zeros(table.num_rows, np.uint64) for name in ("own", "cluster", *ROUTES)}
    for index, row in enumerate(_rows(table, KEY_COLUMNS)):
        hashes["own"][index] = hash64(row["clip_id"])
        if row["duplicate_cluster"]:
            hashes["cluster"][index] = hash64(row["duplicate_cluster"])
        for route, key in keys_of(row).items():
            hashes[route][index] = hashes["own"][index] if route == "ring" else hash64(row["corpus"], row["split"], key)
    order = np.argsort(hashes["own"], kind="stable")
    for name, values in hashes.items():
        table = table.append_column(name if name in ("own", "cluster") else f"route_{name}", pa.array(values))
    _write_facts(pack, table, hashes, num_units)
    temporary = pack.path.with_suffix(f".{os.getpid()}")
    with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        # In the order of the hashes, so that what one unit reads lies together.
        writer.write_table(table.take(pa.array(order)))
    temporary.replace(pack.path)


def _table_of(store: Store, annotated: Manifest, pack: Pack) -> pa.Table:
    tables = [store.table_of_shard(annotated, shard).select(COLUMNS) for shard in pack.shards]
    return pa.concat_tables([one.replace_schema_metadata(None) for one in tables]).combine_chunks()


def _rows(table: pa.Table, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries, of which a few are there at a time: those of a whole pack are larger than the pack."""
    columns_table = table.select(columns)
    for first in range(0, table.num_rows, _ROWS_TOGETHER):
        yield from columns_table.slice(first, _ROWS_TOGETHER).to_pylist()


def _write_facts(pack: Pack, table: pa.Table, hashes: dict[str, np.ndarray], num_units: int) -> None:
    is_train = np.array(table["split"].to_pylist()) == TRAIN
    facts: dict[str, Any] = {}
    for route in ROUTES:
        cells = cells_of(hashes[route][hashes[route] > 0], num_units)
        facts[f"cells_{route}"] = np.bincount(
            cells, minlength=cells_of(np.array([2**64 - 1], np.uint64), num_units)[0] + 1
        )
    for name, mask in (("train", is_train), ("held_out", ~is_train)):
        clusters = np.unique(hashes["cluster"][mask])
        facts[f"clusters_{name}"] = clusters[clusters > 0]
    facts["num_targets"] = np.array(_num_targets(table))
    facts["backgrounds"] = np.array(json.dumps(_backgrounds(table, hashes["own"])))
    temporary = pack.path.with_suffix(f".{os.getpid()}.npz")
    np.savez(temporary, **facts)
    temporary.replace(pack.facts_path)


def _num_targets(table: pa.Table) -> tuple[int, int]:
    """Clips of speech in training that a person speaks, and that a machine speaks."""
    counts = [0, 0]
    for row in _rows(table, ("domain", "split", "facts")):
        if row["domain"] == "speech" and row["split"] == TRAIN:
            facts = ((fact["name"], fact["value"]) for fact in row["facts"])
            counts[is_true(value_of(facts, "synthetic"))] += 1
    return counts[0], counts[1]


def _backgrounds(table: pa.Table, own: np.ndarray) -> list[dict[str, Any]]:
    """Sounds without speech, a few of each split: what a recipe has to know of them."""
    names = [
        "clip_id",
        "split",
        "domain",
        "num_samples",
        "sample_rate",
        "caption",
        "speech_fraction",
        "leaks",
        "duplicate_cluster",
    ]
    rows_by_split: dict[str, list[dict[str, Any]]] = {}
    order = np.argsort(own, kind="stable")
    sounds = table.select(names).take(pa.array(order))
    for index, row in zip(order, _rows(sounds, names), strict=True):
        long_enough = row["num_samples"] >= _MIN_BACKGROUND_S * row["sample_rate"] > 0
        is_quiet = row["domain"] == "sound" and (row["speech_fraction"] or 0.0) <= _MAX_SPEECH
        of_split = rows_by_split.setdefault(row["split"], [])
        if long_enough and is_quiet and not row["leaks"] and len(of_split) < NUM_BACKGROUNDS:
            of_split.append({**row, "own": int(own[index])})
    return [row for rows_of_split in rows_by_split.values() for row in rows_of_split]
