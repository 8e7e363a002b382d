"""What was dropped, what was rejected, what was odd: by reason, with examples.

Reads    dropped (of every kind), annotated, raw
"""

import polars as pl
from uniaudio_schemas.query import scan_version
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio_flows.report.table import Table, table

_MOST_EXAMPLES = 3
_MOST_PROBLEMS = 60
_CORPUS = pl.col("unit").str.replace(r"-[^-]*$", "")
"""Units of raw and annotated are called `<corpus>-<digits>`."""


def dropped_by_reason(store: Store, kinds: tuple[str, ...]) -> Table:
    """Counts of every kind, from the manifests alone."""
    rows = []
    for kind in kinds:
        manifest = store.head(kind)
        for reason, count in manifest.dropped.items() if manifest else ():
            rows.append((kind, reason, count, _percent(count, count + (manifest.num_rows if manifest else 0))))
    return table("Dropped rows of each kind", ("kind", "reason", "rows", "of kept and these"), rows)


def dropped_examples(store: Store, kinds: tuple[str, ...], raw: Manifest | None) -> Table:
    """Dropped rows by kind, corpus and reason: how many, and the first few."""
    rows = []
    for kind in kinds:
        manifest = store.head(kind)
        if manifest is None or not manifest.dropped_shards:
            continue
        corpus = _CORPUS if kind in ("raw", "annotated") else pl.lit("")
        drops = (
            _dropped(store, manifest)
            .group_by(corpus.alias("corpus"), "reason")
            .agg(pl.len().alias("rows"), pl.struct("row_id", "detail").sort().head(_MOST_EXAMPLES).alias("examples"))
            .sort("reason", "corpus")
            .collect()
        )
        ids = [one["row_id"] for examples in drops["examples"] for one in examples]
        paths = _paths(store, raw, ids) if kind == "annotated" else {}
        rows += [
            (kind, reason, name, count, [_example(one, paths) for one in examples])
            for name, reason, count, examples in drops.iter_rows()
        ]
    return table("Dropped, with examples", ("kind", "reason", "corpus", "rows", "such as"), rows)


def rejections(frame: pl.LazyFrame) -> Table:
    """Why text of a recognizer is not trained on, by corpus and domain."""
    judged = frame.filter(pl.col("transcript").is_not_null()).group_by("corpus", "domain").len("judged")
    example = pl.struct("path", "transcript").sort_by("clip_id").head(_MOST_EXAMPLES).alias("examples")
    counts = (
        frame.select("corpus", "domain", "rejections", "clip_id", "path", pl.col("transcript").str.slice(0, 160))
        .filter(pl.col("rejections").list.len() > 0)
        .explode("rejections")
        .group_by("rejections", "corpus", "domain")
        .agg(pl.len().alias("clips"), example)
        .join(judged, on=["corpus", "domain"], how="left")
        .sort("rejections", "corpus", "domain")
        .collect()
    )
    rows = (
        (
            row["rejections"],
            row["corpus"],
            row["domain"],
            row["clips"],
            _percent(row["clips"], row["judged"]),
            [f"{one['path']}: {one['transcript'] or 'no transcript'}" for one in row["examples"]],
        )
        for row in counts.to_dicts()
    )
    header = ("reason", "corpus", "domain", "clips", "of transcripts", "such as")
    return table("Rejected transcripts", header, rows)


def problems(frame: pl.LazyFrame) -> Table:
    """What was noticed while files were read, of `raw`; the clips are kept all the same."""
    counts = (
        frame.select("corpus", "path", "problems")
        .filter(pl.col("problems").list.len() > 0)
        .explode("problems")
        .group_by(pl.col("problems").str.split(": ").list.first().alias("problem"), "corpus")
        .agg(pl.len().alias("clips"), pl.struct("path", "problems").sort().head(_MOST_EXAMPLES).alias("examples"))
        .sort("clips", "problem", "corpus", descending=[True, False, False])
        .head(_MOST_PROBLEMS)
        .collect()
    )
    rows = (
        (problem, corpus, clips, [f"{one['path']}: {one['problems']}" for one in examples])
        for problem, corpus, clips, examples in counts.iter_rows()
    )
    return table("Problems of files that were kept", ("problem", "corpus", "clips", "such as"), rows)


def _dropped(store: Store, manifest: Manifest) -> pl.LazyFrame:
    frame = pl.from_arrow(store.dropped(manifest))
    assert isinstance(frame, pl.DataFrame)
    return frame.lazy()


def _paths(store: Store, raw: Manifest | None, ids: list[str]) -> dict[str, str]:
    """Raw clip id -> path."""
    if raw is None or not ids:
        return {}
    paths = scan_version(store, raw).select("clip_id", "path").filter(pl.col("clip_id").is_in(ids)).collect()
    return dict(paths.iter_rows())


def _example(one: dict[str, str], paths: dict[str, str]) -> str:
    name = paths.get(one["row_id"], one["row_id"])
    return f"{name}: {one['detail']}" if one["detail"] else name


def _percent(part: int, whole: int | None) -> str:
    return f"{100 * part / whole:.2g} %" if whole else ""
