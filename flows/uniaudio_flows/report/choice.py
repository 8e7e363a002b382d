"""Which clips the report plays: always the same ones of a version, spread over domains and corpora, the odd ones among them.

Reads    annotated, raw, and what was dropped between them
Gives    `Chosen(raw=Raw(…), annotated=Annotated(…) or None, dropped=Dropped(…) or None)`

Clip ids are hashes, so the smallest of a group are as good as drawn by chance.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.dropped import Dropped
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.kinds.record import from_table, schema_of
from uniaudio_schemas.query import scan_version
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

NUM_EXAMPLES = 24
_AT_LEAST = {"leaking": 3, "rejected": 5, "copy": 3, "dropped": 3}
"""Examples of each kind, where there are so many; ordinary clips take the other places."""

Row = TypeVar("Row", Annotated, Raw)
One = TypeVar("One")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    raw: Raw
    annotated: Annotated | None = None
    """Row of `annotated`; None where the clip was dropped."""
    dropped: Dropped | None = None
    num_recordings: int = 1
    """Recordings that hold the same sound, this one among them."""


def choose(store: Store, annotated: Manifest, raw: Manifest) -> list[Chosen]:
    """Up to 24 clips with audio: ordinary ones first, then leaking, rejected, copied and dropped ones."""
    frame = scan_version(store, annotated)
    groups = _candidates(frame)
    drops = _dropped_candidates(store, annotated, raw)
    by_kind: dict[str, list[str]] = {kind: _spread(groups.get(kind, {})) for kind in ("ordinary", *_AT_LEAST)}
    by_kind["dropped"] = [one.row_id for one in drops]
    odd = {kind: by_kind[kind][:least] for kind, least in _AT_LEAST.items()}
    num_ordinary = NUM_EXAMPLES - sum(len(ids) for ids in odd.values())
    ids = [*by_kind["ordinary"][:num_ordinary], *(one for kind in odd if kind != "dropped" for one in odd[kind])]
    more = (one for kind, least in _AT_LEAST.items() if kind != "dropped" for one in by_kind[kind][least:])
    ids += [one for one, _ in zip(more, range(NUM_EXAMPLES - len(odd["dropped"]) - len(ids)), strict=False)]
    clips = _rows(store, annotated, Annotated, ids)
    raws = _rows(store, raw, Raw, [*(clip.raw_clip_id for clip in clips.values()), *odd["dropped"]])
    times = _recordings(frame, {clip.duplicate_cluster for clip in clips.values()})
    chosen_clips = [
        Chosen(
            raw=raws[clips[one].raw_clip_id], annotated=clips[one], num_recordings=times[clips[one].duplicate_cluster]
        )
        for one in ids
        if clips[one].raw_clip_id in raws
    ]
    return chosen_clips + [Chosen(raw=raws[one.row_id], dropped=one) for one in drops if one.row_id in odd["dropped"]]


def _candidates(frame: pl.LazyFrame) -> dict[str, dict[tuple[str, str], list[str]]]:
    """Kind -> (domain, corpus) -> the smallest ids."""
    copied = (
        frame.select("duplicate_cluster", "raw_clip_id")
        .group_by("duplicate_cluster")
        .agg(pl.col("raw_clip_id").n_unique().alias("recordings"))
        .filter(pl.col("duplicate_cluster").is_not_null() & (pl.col("recordings") > 1))
    )
    kind = (
        pl.when(pl.col("leaks").list.len() > 0)
        .then(pl.lit("leaking"))
        .when(pl.col("rejections").list.len() > 0)
        .then(pl.lit("rejected"))
        .when(pl.col("recordings").is_not_null())
        .then(pl.lit("copy"))
        .otherwise(pl.lit("ordinary"))
    )
    candidates = (
        frame.filter(pl.col("num_samples") > 0)
        .join(copied, on="duplicate_cluster", how="left")
        .group_by(kind.alias("kind"), "domain", "corpus")
        .agg(pl.col("clip_id").sort().head(NUM_EXAMPLES))
        .collect(engine="streaming")
    )
    groups: dict[str, dict[tuple[str, str], list[str]]] = defaultdict(dict)
    for name, domain, corpus, ids in candidates.iter_rows():
        groups[name][domain, corpus] = ids
    return groups


def _recordings(frame: pl.LazyFrame, clusters: set[str | None]) -> dict[str | None, int]:
    """Cluster -> how many recordings it has; 1 for none."""
    counts = (
        frame.select("duplicate_cluster", "raw_clip_id")
        .filter(pl.col("duplicate_cluster").is_in(sorted(one for one in clusters if one is not None)))
        .group_by("duplicate_cluster")
        .agg(pl.col("raw_clip_id").n_unique())
        .collect(engine="streaming")
    )
    return {None: 1, **dict(counts.iter_rows())}


def _dropped_candidates(store: Store, annotated: Manifest, raw: Manifest) -> list[Dropped]:
    """Whole clips that were dropped on the way to `annotated`, one of each reason, then a second one of each, …"""
    frame = pl.from_arrow(store.dropped(annotated))
    assert isinstance(frame, pl.DataFrame)
    annotated_ids = scan_version(store, annotated).select("raw_clip_id")
    drops = (
        frame.lazy()
        .join(annotated_ids, left_on="row_id", right_on="raw_clip_id", how="anti")
        .join(
            scan_version(store, raw).filter(pl.col("medium") == "audio").select("clip_id"),
            left_on="row_id", right_on="clip_id", how="semi",
        )
        .unique("row_id", keep="first", maintain_order=True)
        .group_by("reason")
        .agg(pl.struct(frame.columns).sort_by("row_id").head(_AT_LEAST["dropped"]).alias("rows"))
        .sort("reason")
        .collect()
    )  # fmt: skip
    return [Dropped(**one) for one in _in_turn(drops["rows"].to_list())]


def _spread(groups: dict[tuple[str, str], list[str]]) -> list[str]:
    """Ids so that domains alternate, and corpora within each."""
    domains: dict[str, list[list[str]]] = defaultdict(list)
    for (domain, _), ids in sorted(groups.items()):
        domains[domain].append(ids)
    return _in_turn([_in_turn(corpora) for corpora in domains.values()])


def _in_turn(lists: Iterable[list[One]]) -> list[One]:
    """The first of each, then the second of each, …"""
    no_element = object()
    return [one for turn in zip_longest(*lists, fillvalue=no_element) for one in turn if one is not no_element]  # type: ignore[misc]


def _rows(store: Store, manifest: Manifest, cls: type[Row], ids: list[str]) -> dict[str, Row]:
    """Id -> row; shards are looked through one by one, and only rows that are wanted are made."""
    id_array = pa.array(sorted(set(ids)), pa.string())
    name: Callable[[Row], str] = lambda row: row.clip_id  # noqa: E731
    row_by_name: dict[str, Row] = {}
    for part in store.tables(manifest):
        if len(row_by_name) == len(id_array):
            break
        matching = part.filter(pc.is_in(part[schema_of(cls).id_field], value_set=id_array))
        row_by_name |= {name(row): row for row in from_table(matching, cls)}
    return row_by_name
