"""Cuts of older versions, whose values are taken over: the clip and the annotator's version are the unit of reuse.

A version is of use where recordings were cut by the same rules. A unit finds its clips in the unit of the same name, else by an index of
the newest such version.
"""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.kinds.cuts import Cut
from uniaudio_schemas.kinds.record import rows
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.manifest import Manifest, Plan, ShardInfo

from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import VoiceActivity


class EarlierCuts:
    def __init__(self, store: Store, plan: Plan) -> None:
        self._store = store
        usable = [one for one in store.versions(plan.kind) if same_cutting(one, plan)]
        head = store.head(plan.kind)
        self._versions = sorted(usable, key=lambda one: (head is None or one.plan_id != head.plan_id, one.plan_id))
        self._units = [{shard.unit: shard for shard in one.shards} for one in self._versions]

    def of_unit(self, unit: str, raw_ids: list[str]) -> tuple[dict[str, list[Cut]], dict[str, list[Dropped]]]:
        """Raw clip id -> its cuts in order, and what was dropped of it, from the first version that has it."""
        cuts: dict[str, list[Cut]] = {}
        dropped: dict[str, list[Dropped]] = {}
        missing = set(raw_ids)
        for version, units in zip(self._versions, self._units, strict=True):
            if missing and unit in units:
                missing -= self._take(version, units[unit], missing, cuts, dropped)
        if missing and self._versions:
            version = self._versions[0]
            for number in sorted(self._shards_with(missing)):
                missing -= self._take(version, version.shards[number], missing, cuts, dropped)
        return cuts, dropped

    def _take(
        self,
        version: Manifest,
        shard: ShardInfo,
        wanted: set[str],
        cuts: dict[str, list[Cut]],
        dropped: dict[str, list[Dropped]],
    ) -> set[str]:
        table = self._store.table_of_shard(version, shard)
        matching_rows = table.filter(pc.is_in(table["raw_clip_id"], value_set=pa.array(sorted(wanted), pa.string())))
        raw_ids: set[str] = set()
        for row in rows(matching_rows.combine_chunks(), Cut):
            cuts.setdefault(row.raw_clip_id, []).append(row)
            raw_ids.add(row.raw_clip_id)
        for clip_id in raw_ids:
            cuts[clip_id].sort(key=lambda row: row.first_sample)
        if shard.dropped_sha256 and raw_ids:
            for report in rows(self._store.dropped(replace(version, shards=[shard])), Dropped):
                if report.row_id in raw_ids:
                    dropped.setdefault(report.row_id, []).append(report)
        return raw_ids

    def _shards_with(self, raw_ids: set[str]) -> set[int]:
        """Numbers of the newest version's shards that hold one of the clips."""
        ids, shards = self._index
        wanted_ids = np.array(sorted(raw_ids), dtype="S32")
        places = np.minimum(np.searchsorted(ids, wanted_ids), max(0, len(ids) - 1))
        return {
            int(shards[place]) for place, one in zip(places, wanted_ids, strict=True) if len(ids) and ids[place] == one
        }

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted raw clip ids, and the shard of each: 36 bytes a clip."""
        ids, shards = [np.zeros(0, "S32")], [np.zeros(0, np.int32)]
        for number, table in enumerate(self._store.tables(self._versions[0], ["raw_clip_id"])):
            ids_of_shard = np.array(pc.unique(table["raw_clip_id"]).to_pylist(), dtype="S32")
            ids.append(ids_of_shard)
            shards.append(np.full(len(ids_of_shard), number, np.int32))
        all_ids, numbers = np.concatenate(ids), np.concatenate(shards)
        order = np.argsort(all_ids, kind="stable")
        return all_ids[order], numbers[order]


def same_cutting(version: Manifest, plan: Plan) -> bool:
    """Whether the version was made by the same rules, so that only its annotators may be others."""

    def rules(parameters: dict[str, Any]) -> dict[str, Any]:
        voice = parameters.get("annotators", {}).get(VoiceActivity.name)
        return {**{name: value for name, value in parameters.items() if name != "annotators"}, "voice": voice}

    return (version.schema_version, version.code_version, rules(version.parameters)) == (
        plan.schema_version,
        plan.code_version,
        rules(plan.parameters),
    )
