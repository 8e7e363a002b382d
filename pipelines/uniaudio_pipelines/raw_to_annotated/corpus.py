"""What follows from the corpus as a whole: which clips are copies of each other, which hang together, which split each is in.

Reads    columns of `raw`, a shard at a time
Gives    for each raw clip {"split": "val", "duplicate_cluster": "5f1c…"}: arrays sorted by clip id, some 80 bytes a clip
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_pipelines.copies import clusters
from uniaudio_pipelines.raw_to_annotated.splits import NOT_GIVEN, SPLITS, assign_splits, connect

_COLUMNS = [
    "clip_id", "corpus", "domain", "speaker", "split", "split_group", "recording", "part_of", "audio_sha256"
]  # fmt: skip
_UNIT = "\x1f"
"""Stands between the corpus and a name that is the corpus' own."""


@dataclass(frozen=True, kw_only=True)
class CorpusView:
    """The raw clips, sorted by id."""

    ids: np.ndarray
    """`[N]` S32."""
    splits: np.ndarray
    """`[N]` int8 of `SPLITS`."""
    is_given: np.ndarray
    """`[N]` bool: the split is the source's own."""
    clusters: np.ndarray
    """`[N]` int64: index of the first copy of the clip's sound, its own where there is none."""
    has_copies: np.ndarray
    """`[N]` bool."""

    def places(self, clip_ids: Sequence[str]) -> np.ndarray:
        """Indices of raw clips."""
        return np.searchsorted(self.ids, np.array(clip_ids, dtype="S32"))

    def splits_of(self, places: np.ndarray) -> list[str]:
        return [SPLITS[code] for code in self.splits[places]]

    def clusters_of(self, places: np.ndarray) -> list[str | None]:
        """Names that copies share; None for a clip without copies."""
        named = zip(self.ids[self.clusters[places]], self.has_copies[places], strict=True)
        return [name.decode() if has_copies else None for name, has_copies in named]


def view(store: Store, raw: Manifest, pairs: Iterable[pa.Table], left_out: frozenset[str]) -> CorpusView:
    """`pairs`: tables with the columns `id_a`, `id_b` of copies; clips `left_out` decide no split."""
    table = pa.concat_tables([_facts(one) for one in store.tables(raw, _COLUMNS)] or [_facts(_empty())])
    table = table.sort_by("clip_id").combine_chunks()
    ids = np.array(table["clip_id"].to_pylist(), dtype="S32")
    copies = connect(len(ids), [_codes(table["audio_sha256"]), *_pair_keys(pairs, ids)])
    keys = [_codes(table[name]) for name in ("voice", "recording_key", "part_key", "split_group")]
    together = connect(len(ids), [*keys, copies])
    roots, group = np.unique(together, return_inverse=True)
    names = _names(table["name"], group, len(roots))
    corpus, domain, given_split = _codes(table["corpus"]), _codes(table["domain"]), _given(table["split"])
    splits = np.zeros(len(ids), np.int8)
    counts = ~np.isin(ids, np.array(sorted(left_out), dtype="S32")) if left_out else np.ones(len(ids), bool)
    kept_groups, kept_group = np.unique(group[counts], return_inverse=True)
    splits[counts] = assign_splits(
        [names[place] for place in kept_groups], kept_group, corpus[counts], domain[counts], given_split[counts]
    )
    return CorpusView(
        ids=ids,
        splits=splits,
        is_given=given_split != NOT_GIVEN,
        clusters=copies,
        has_copies=np.bincount(copies, minlength=len(ids))[copies] > 1,
    )


def _empty() -> pa.Table:
    return pa.table({name: pa.array([], pa.string()) for name in _COLUMNS})


def _facts(table: pa.Table) -> pa.Table:
    """Names of speakers, recordings and stems are their corpus' own; names of given groups are everybody's."""
    corpus = table["corpus"]

    def own(kind: str, column: str) -> pa.ChunkedArray:
        return pc.binary_join_element_wise(corpus, pa.scalar(kind), table[column], _UNIT)

    voice, recording, part = own("voice", "speaker"), own("recording", "recording"), own("part", "part_of")
    # What the group is called, and hashed by, if the clip is alone in it.
    plain = pc.binary_join_element_wise(corpus, table["speaker"], "/")
    whole = pc.binary_join_element_wise(corpus, pc.coalesce(table["part_of"], table["recording"]), "/")
    name = pc.coalesce(table["split_group"], plain, whole, table["clip_id"])
    facts = table.select(["clip_id", "corpus", "domain", "split", "split_group", "audio_sha256"])
    for column, values in (("voice", voice), ("recording_key", recording), ("part_key", part), ("name", name)):
        facts = facts.append_column(column, values)
    return facts


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """`[N]` int64: equal for equal values, -1 for null; from 0 in the order of the values."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = values.dictionary_encode()
    rank = np.empty(len(encoded.dictionary), np.int64)
    rank[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(rank))
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(codes < 0, -1, rank[codes]) if len(rank) else codes


def _pair_keys(pairs: Iterable[pa.Table], ids: np.ndarray) -> list[np.ndarray]:
    """The copies as keys: the place in `ids` of the first clip that each is connected to, and its own where it has no copy."""
    edges = [table.select(["id_a", "id_b"]) for table in pairs if len(table)]
    if not edges:
        return []
    assignments = clusters(pa.concat_tables(edges))
    clip, first = (
        np.searchsorted(ids, np.array(assignments[name].to_pylist(), "S32")) for name in ("clip_id", "cluster_id")
    )
    labels = np.arange(len(ids))
    labels[clip] = first
    return [labels]


def _names(column: pa.ChunkedArray, group: np.ndarray, num_groups: int) -> list[str]:
    """For each group the first of its members' names."""
    values = column.combine_chunks()
    ranks = _codes(values)
    least = np.full(num_groups, len(values))
    np.minimum.at(least, group, ranks)
    ordered = pc.unique(values).sort()
    names: list[str] = ordered.take(pa.array(least)).to_pylist()
    return names


def _given(column: pa.ChunkedArray) -> np.ndarray:
    places = pc.index_in(column, value_set=pa.array(SPLITS)).combine_chunks()
    return np.asarray(places.fill_null(NOT_GIVEN).to_numpy(zero_copy_only=False), np.int8)
