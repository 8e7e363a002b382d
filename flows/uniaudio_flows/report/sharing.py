"""What clips share: a speaker, a voice, a sound, an item of an evaluation set.

Reads    annotated, evalset

Pieces of one recording have one `duplicate_cluster`; copies are several recordings of one cluster.
"""

import polars as pl
from uniaudio_schemas.query import scan_version
from uniaudio_schemas.store import Store

from uniaudio_flows.report.corpora import HOURS, SECONDS
from uniaudio_flows.report.table import Table, table

_MOST_SHOWN = 10
_MOST_EXAMPLES = 3


def speakers(frame: pl.LazyFrame) -> Table:
    """Named speakers and voices found by embedding, by corpus."""
    counts = (
        frame.filter(pl.col("speaker").is_not_null() | pl.col("speaker_cluster").is_not_null())
        .group_by("corpus")
        .agg(
            pl.col("speaker").drop_nulls().n_unique().alias("speakers"),
            pl.col("speaker_cluster").drop_nulls().n_unique().alias("voices"),
            pl.len().alias("clips"),
            HOURS.alias("hours"),
            pl.col("speaker").is_null().sum().alias("unnamed"),
        )
        .sort("corpus")
        .collect(engine="streaming")
    )
    header = ("corpus", "named speakers", "voices by sound", "clips", "hours", "clips without a name")
    return table("Speakers by corpus", header, counts.iter_rows())


def largest_speakers(frame: pl.LazyFrame) -> Table:
    """Speakers with most clips, and how many voices their clips have by sound: many are a wrong name or a wrong cluster."""
    largest = (
        frame.filter(pl.col("speaker").is_not_null())
        .group_by("corpus", "speaker")
        .agg(
            pl.len().alias("clips"),
            HOURS.alias("hours"),
            pl.col("speaker_cluster").drop_nulls().n_unique().alias("voices"),
            pl.col("split").unique().sort().alias("splits"),
        )
        .sort("hours", "corpus", "speaker", descending=[True, False, False])
        .head(_MOST_SHOWN)
        .collect(engine="streaming")
    )
    header = ("corpus", "speaker", "clips", "hours", "voices by sound", "splits")
    return table(f"The {_MOST_SHOWN} speakers with most hours", header, largest.iter_rows())


def shared_voices(frame: pl.LazyFrame) -> Table:
    """Voices that several named speakers have."""
    voices = (
        frame.filter(pl.col("speaker_cluster").is_not_null() & pl.col("speaker").is_not_null())
        .group_by("speaker_cluster")
        .agg(
            pl.len().alias("clips"),
            pl.concat_str("corpus", "speaker", separator="/").unique().sort().alias("speakers"),
        )
        .filter(pl.col("speakers").list.len() > 1)
        .sort("clips", "speaker_cluster", descending=[True, False])
        .head(_MOST_SHOWN)
        .collect(engine="streaming")
    )
    rows = ((voice[:8], clips, names[:_MOST_SHOWN]) for voice, clips, names in voices.iter_rows())
    return table("Voices that several named speakers have", ("voice", "clips", "speakers"), rows)


def copies(frame: pl.LazyFrame) -> Table:
    """The corpora that hold copies, within themselves and of each other."""
    counts = (
        _clusters(frame)
        .group_by(pl.col("corpora").list.join(" + ").alias("corpora"))
        .agg(
            pl.len().alias("clusters"),
            pl.col("recordings").sum(),
            (pl.col("recordings").sum() - pl.len()).alias("beyond the first"),
            (pl.col("extra_s").sum() / 3600).round(4).alias("hours beyond the first"),
            (pl.col("splits").list.contains("train") & (pl.col("splits").list.len() > 1)).sum().alias("over splits"),
        )
        .sort("recordings", "corpora", descending=[True, False])
        .head(_MOST_SHOWN * 3)
        .collect()
    )
    header = (
        "corpora", "sounds", "recordings", "beyond the first", "hours beyond the first", "in training and held out",
    )  # fmt: skip
    return table("Copies of one sound", header, counts.iter_rows())


def largest_copies(frame: pl.LazyFrame) -> Table:
    """The sounds that are there most often."""
    most = (
        _clusters(frame).sort("recordings", "duplicate_cluster", descending=[True, False]).head(_MOST_SHOWN).collect()
    )
    paths_frame = (
        frame.select("duplicate_cluster", "path")
        .join(most.lazy().select("duplicate_cluster"), on="duplicate_cluster", how="semi")
        .group_by("duplicate_cluster")
        .agg(pl.col("path").unique().sort().head(_MOST_EXAMPLES * 2).alias("paths"))
        .collect()
    )
    paths = dict(paths_frame.iter_rows())
    rows = (
        (one["duplicate_cluster"][:8], one["recordings"], one["splits"], paths[one["duplicate_cluster"]])
        for one in most.to_dicts()
    )
    return table("The sounds with most copies", ("cluster", "recordings", "splits", "such as"), rows)


def leaks(store: Store, frame: pl.LazyFrame) -> Table:
    """For each registered evaluation set, the clips that share its sound or its long text, by corpus and split."""
    leaking = (
        frame.select("corpus", "split", "leaks", "clip_id", "path", SECONDS.alias("seconds"))
        .filter(pl.col("leaks").list.len() > 0)
        .explode("leaks")
        .group_by("leaks", "corpus", "split")
        .agg(
            pl.len().alias("clips"),
            (pl.col("seconds").sum() / 3600).round(4).alias("hours"),
            pl.col("path").sort_by("clip_id").head(_MOST_EXAMPLES).alias("examples"),
        )
        .sort("leaks", "corpus", "split")
        .collect()
    )
    rows = list(leaking.iter_rows())
    clean = sorted(set(store.refs("evalset")) - {"latest"} - set(leaking["leaks"]))
    rows += [(name, "", "", 0, 0.0, []) for name in clean]
    return table("Leaks of evaluation sets", ("evaluation set", "corpus", "split", "clips", "hours", "such as"), rows)


def evaluation_sets(store: Store) -> Table:
    """What is registered."""
    rows = []
    for name, manifest in sorted(store.refs("evalset").items()):
        counts = (
            scan_version(store, manifest)
            .select(pl.len(), HOURS, pl.col("licence").unique().sort().implode())
            .collect(engine="streaming")
            .row(0)
        )
        rows.append((name, *counts))
    return table("Registered evaluation sets", ("evaluation set", "items", "hours", "licences"), rows)


def _clusters(frame: pl.LazyFrame) -> pl.LazyFrame:
    """One row a sound that several recordings hold."""
    by_recording = frame.filter(
        pl.col("duplicate_cluster").is_not_null() & (pl.col("domain") != "text")
    ).group_by("duplicate_cluster", "raw_clip_id").agg(
        SECONDS.sum().alias("seconds"), pl.col("corpus").first(), pl.col("split").unique().alias("splits")
    )  # fmt: skip
    return (
        by_recording.group_by("duplicate_cluster")
        .agg(
            pl.len().alias("recordings"),
            (pl.col("seconds").sum() - pl.col("seconds").max()).alias("extra_s"),
            pl.col("corpus").unique().sort().alias("corpora"),
            pl.col("splits").explode().unique().sort(),
        )
        .filter(pl.col("recordings") > 1)
    )
